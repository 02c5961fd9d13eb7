"""Sweeps: many runs over ranges of hyperparameters, what stops the poor ones early, and what they say afterwards."""
