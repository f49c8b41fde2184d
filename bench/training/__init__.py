"""Training of a stack of runs that differ only in their seed."""
