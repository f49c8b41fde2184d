"""Datasets: a name becomes arrays in a cache on disk."""
