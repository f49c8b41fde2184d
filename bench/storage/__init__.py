"""Rows on disk: written atomically, read and verified."""
