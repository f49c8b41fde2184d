"""Sections of the page as printed text, one module per section."""
