"""The metrics that a study can optimise: a class is one file of conf/metric/, its fields are that file's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from flatdirs.backend.pruner_settings import Pruning
from flatdirs.training.edge_metric import EdgeOfStability


@dataclass(frozen=True)
class Accuracy:
    """Held-out accuracy in percent, maximised."""

    name: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "%"


@dataclass(frozen=True)
class Loss:
    """Held-out loss, minimised."""

    name: ClassVar[str] = "loss"
    unit: ClassVar[str] = " loss"


@dataclass(frozen=True)
class Edge(EdgeOfStability):
    """The edge-of-stability metric, minimised."""

    name: ClassVar[str] = "edge_of_stability"
    unit: ClassVar[str] = " edge of stability"


Metric = Accuracy | Loss | Edge
METRICS: Mapping[str, type[Metric]] = {kind.name: kind for kind in (Accuracy, Loss, Edge)}


def describe(settings: Metric | Pruning) -> dict[str, Any]:
    """The plain mapping that a file of conf/metric/ or conf/pruner/ holds, for a study to keep."""
    return {"name": settings.name, **asdict(settings)}
