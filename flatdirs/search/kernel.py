"""The one kernel of all processes here."""

from __future__ import annotations

import numpy as np

from flatdirs.search.geometry import Array


def matern(places: Array, others: Array) -> Array:
    """Matérn 5/2 between points (n, axes) and (m, axes) in units of their lengths: (n, m), 1 for a point and itself."""
    squares = (places**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * places @ others.T
    distance = np.sqrt(5.0 * np.maximum(squares, 0.0) + 1e-12)
    found: Array = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    return found
