"""Clusters of the finished runs: k-means in the log2 of the hyperparameters, k chosen by the silhouette (scikit-learn).

The logarithms are not scaled: a doubling counts the same for every hyperparameter. A best silhouette below 0.5 may come
from evenly spread runs (Kaufman and Rousseeuw, Finding Groups in Data, 1990); the report then says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flatdirs.analysis.sweep import Flags, Missing, Numbers, Run, Sweep, geometric_centre, median, raw_coordinates
from flatdirs.errors import missing_extra

LEAST_RUNS = 6
MOST_CLUSTERS = 6
STRUCTURE = 0.5


@dataclass(frozen=True)
class Cluster:
    """Runs that lie together. `centre`: the mean in logarithms; `spread`: the root mean square distance from it, in
    doublings; `loss`: the median final loss; `best`: the lowest.
    """

    runs: tuple[Run, ...]
    centre: Mapping[str, float]
    spread: float
    loss: float
    best: float


@dataclass(frozen=True)
class Clusters:
    """Clusters by rising median loss. `silhouettes`: for each k that was tried. `names`: the coordinates used."""

    clusters: tuple[Cluster, ...]
    silhouettes: Mapping[int, float]
    names: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def silhouette(self) -> float:
        return max(self.silhouettes.values())

    @property
    def clear(self) -> bool:
        """Whether the clusters are further apart than evenly spread runs would be."""
        return self.silhouette >= STRUCTURE


def clusters(sweep: Sweep, seed: int = 0) -> Clusters | Missing:
    """The finished runs in clusters; `seed`: of k-means."""
    try:
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score
    except ModuleNotFoundError as error:
        return Missing(f"clusters need k-means: {missing_extra(error) or error}")
    runs = sweep.finished_runs
    if len(runs) < LEAST_RUNS:
        return Missing(f"{len(runs)} of {len(sweep.runs)} runs finished; clusters need at least {LEAST_RUNS}")
    place = raw_coordinates(runs)
    if not place.names:
        return Missing("no hyperparameter was varied on a logarithmic scale, so there are no clusters")
    most = min(MOST_CLUSTERS, len(np.unique(np.round(place.logs, 6), axis=0)) - 1, len(runs) // 2)
    if most < 2:
        return Missing("the finished runs have only two different settings, too few to cluster")
    labels = {k: KMeans(k, n_init=10, random_state=seed).fit_predict(place.logs) for k in range(2, most + 1)}
    silhouettes = {k: float(silhouette_score(place.logs, labels[k])) for k in labels}
    chosen = labels[max(silhouettes, key=lambda k: silhouettes[k])]
    found = [_cluster(runs, place.logs, chosen == label) for label in np.unique(chosen)]
    ordered = tuple(sorted(found, key=lambda cluster: cluster.loss))
    return Clusters(ordered, silhouettes, place.names, place.left_out)


def _cluster(runs: tuple[Run, ...], logs: Numbers, inside: Flags) -> Cluster:
    members = tuple(run for run, own in zip(runs, inside, strict=True) if own)
    losses = [run.loss for run in members if run.loss is not None]
    spread = float(np.sqrt(np.square(logs[inside] - logs[inside].mean(axis=0)).sum(axis=1).mean()))
    return Cluster(members, geometric_centre(members), spread, median(losses), min(losses))
