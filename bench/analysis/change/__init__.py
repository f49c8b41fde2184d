"""Comparison of two sweeps of the same optimizers."""
