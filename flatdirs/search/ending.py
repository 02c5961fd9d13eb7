"""The last runs of a budget: which point to run again.

A replicate is worth what it may change: the knowledge gradient (Frazier et al., doi:10.1137/070693424) over the points
that are still contenders.
"""

from __future__ import annotations

import math

import numpy as np

from flatdirs.search.gp import NODES
from flatdirs.search.known import Known, places_of
from flatdirs.space.log_grid import Array

LAST, PART = 3, 6  # the last runs are replicates: at most so many, and one in so many that have finished
CONTENDERS = 6  # points with the highest means that a replicate may lift to the top


def replicates(known: Known, left: int | None) -> bool:
    """Whether the `left` runs, this one included, are for replicates; never once a budget is used up."""
    return left is not None and not known.settings.deterministic and 0 < left <= min(LAST, known.finished // PART)


def worth_of_replicates(known: Known) -> Array:
    """The expected gain (points,) in the value of the incumbent, once another run of a point is known."""
    places, found = places_of(known.log_grid, known.points), np.zeros(len(known.points))
    for one, mean, covariance in known.model.joint(places):
        top = np.argsort(-mean, kind="stable")[:CONTENDERS]
        spread = np.sqrt(covariance.diagonal() + one.noise**2 * one.scale)
        shifts = covariance[:, top] / spread[:, None]  # of each contender, by a standard normal surprise
        lifted = np.max(mean[top][None, :, None] + shifts[:, :, None] * NODES, axis=1).mean(axis=1)
        found += one.weight * one.unit * math.exp(-min(0.0, float(mean[top[0]]))) * (lifted - mean[top[0]])
    contenders = set(known.ranking[:CONTENDERS])
    return np.where([point in contenders for point in known.points], found, 0.0)
