"""Specify, run, resume, load and reproduce sweeps."""
