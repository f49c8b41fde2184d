"""Datasets: names, arrays, and their cache on disk."""
