"""Sweeps that train near instability: a metric for them, and rules that stop the rest early.

metric.py is pure (stdlib and numpy), pruners.py holds Optuna pruners for anybody's study, settings.py what a
configuration says of both.
"""
