"""Two-dimensional slices of hyperparameter space: a grid of runs, its ridge, and what leaving the ridge costs.

    grid.py (which run next) → running.py (study ⇄ objective) → ridge.py (slope, flatness) → report/heatmap.py

The source's evidence for its flat directions (reference/004): accuracy over two hyperparameters, log-log, with a ridge
at 45°. Nothing is imported here.
"""
