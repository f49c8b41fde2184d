"""Optimizers: the catalogue, variants with hyperparameters, schedules of the learning rate."""
