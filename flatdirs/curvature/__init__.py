"""Learning rates from curvature: optimizers that choose their own rate, for anyone's training loop.

    closure → loss → g, u → uᵀHu from the same graph → η = σ·n/d → w += ηu

`CDAT` (cdat.py), `QuadraticallyGreedy` (σ = 1) and `ArmijoLineSearch` (line_search.py) share tuned.py and the update
directions of bases.py. Needs nothing else of flatdirs but its errors. Source: reference/003, arXiv 2407.06183.
"""

from flatdirs.curvature.cdat import CDAT, QuadraticallyGreedy
from flatdirs.curvature.line_search import ArmijoLineSearch
from flatdirs.curvature.tuned import Record

__all__ = ["CDAT", "ArmijoLineSearch", "QuadraticallyGreedy", "Record"]
