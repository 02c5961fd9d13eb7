"""flatdirs in OptunaHub's layout: the sampler itself lives in the package flatdirs (`pip install flatdirs`)."""

from flatdirs import FlatDirectionsSampler

__all__ = ["FlatDirectionsSampler"]
