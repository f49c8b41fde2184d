"""Read results of any program from files, as one table."""
