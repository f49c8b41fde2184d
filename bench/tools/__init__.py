"""Benchmarks, fault injection, and simulation of the statistics."""
