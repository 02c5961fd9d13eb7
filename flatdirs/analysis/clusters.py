"""Where the survivors live: k-means in logarithms, with as many clusters as the silhouette likes best.

Coordinates are octaves of learning rate, weight decay, one minus momentum …, unscaled: a doubling is as far in each.
K-means and silhouettes are scikit-learn's. A best silhouette below STRUCTURE may come of runs spread
evenly, which k-means cuts up as well (Kaufman and Rousseeuw's rule of thumb); they are shown with that said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flatdirs.analysis.records import Flags, Missing, Numbers, Run, Sweep, geometric_centre, raw_coordinates

LEAST_RUNS = 6
MOST_CLUSTERS = 6
STRUCTURE = 0.5


@dataclass(frozen=True)
class Cluster:
    """Runs that lie together. `centre` in user's units, the mean in logarithms; `spread`: their root mean square
    distance from it, in octaves; `loss`: their median final loss; `best`: the lowest.
    """

    runs: tuple[Run, ...]
    centre: Mapping[str, float]
    spread: float
    loss: float
    best: float


@dataclass(frozen=True)
class Clusters:
    """Clusters by rising median loss. `silhouettes`: for each k that was tried. `names`: coordinates used."""

    clusters: tuple[Cluster, ...]
    silhouettes: Mapping[int, float]
    names: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def silhouette(self) -> float:
        """That of the k chosen."""
        return max(self.silhouettes.values())

    @property
    def clear(self) -> bool:
        """Whether the clusters stand apart."""
        return self.silhouette >= STRUCTURE


def clusters(sweep: Sweep, seed: int = 0) -> Clusters | Missing:
    """The survivors in clusters; `seed` is that of k-means' starts."""
    runs = sweep.survivors
    if len(runs) < LEAST_RUNS:
        return Missing(f"{len(runs)} of {len(sweep.runs)} runs finished, and clusters want {LEAST_RUNS} or more")
    place = raw_coordinates(runs)
    if not place.names:
        return Missing("no hyperparameter with a logarithm was varied, so the survivors all lie at one place")
    most = min(MOST_CLUSTERS, len(np.unique(np.round(place.logs, 6), axis=0)) - 1, len(runs) // 2)
    if most < 2:
        return Missing("the survivors lie at two places only, which are their own clusters")
    silhouettes, labels = _best_labels(place.logs, most, seed)
    found = [_cluster(runs, place.logs, labels == label) for label in np.unique(labels)]
    ordered = tuple(sorted(found, key=lambda cluster: cluster.loss))
    return Clusters(ordered, silhouettes, place.names, place.left_out)


def _best_labels(logs: Numbers, most: int, seed: int) -> tuple[dict[int, float], Numbers]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    tried = {k: KMeans(n_clusters=k, n_init=10, random_state=seed).fit_predict(logs) for k in range(2, most + 1)}
    silhouettes = {k: float(silhouette_score(logs, labels)) for k, labels in tried.items()}
    return silhouettes, tried[max(silhouettes, key=lambda k: silhouettes[k])]


def _cluster(runs: tuple[Run, ...], logs: Numbers, inside: Flags) -> Cluster:
    members = tuple(run for run, own in zip(runs, inside, strict=True) if own)
    losses = [run.loss for run in members if run.loss is not None]
    spread = float(np.sqrt(np.square(logs[inside] - logs[inside].mean(axis=0)).sum(axis=1).mean()))
    return Cluster(members, geometric_centre(members), spread, float(np.median(losses)), min(losses))
