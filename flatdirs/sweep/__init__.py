"""Sweeps: many runs over ranges of hyperparameters, what stops the poor ones early, and what they say afterwards.

metric.py is pure (stdlib and numpy), pruners.py holds Optuna pruners for anybody's study, settings.py what a
configuration says of both; reading.py makes the records that the analyses, one file each, are functions of.
"""
