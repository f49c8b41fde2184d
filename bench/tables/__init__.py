"""Results of any origin, read from files as one table."""
