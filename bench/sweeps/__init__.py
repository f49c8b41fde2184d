"""Sweeps: specify, resume, run, load."""
