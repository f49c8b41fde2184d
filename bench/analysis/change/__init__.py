"""Comparison of two sweeps: what changed from one to the other."""
