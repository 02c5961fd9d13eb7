"""The metrics that a study of the trainer can optimise; each class is a file of conf/metric/."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flatdirs.training.edge_metric import EdgeOfStability, Running

if TYPE_CHECKING:
    from flatdirs.training.run_config import Epoch


@dataclass(frozen=True)
class Accuracy:
    """Accuracy in percent, maximised."""

    name: ClassVar[str] = "accuracy"
    unit: ClassVar[str] = "%"


@dataclass(frozen=True)
class Loss:
    """Loss, minimised."""

    name: ClassVar[str] = "loss"
    unit: ClassVar[str] = " loss"


Metric = Accuracy | Loss | EdgeOfStability
METRICS: Mapping[str, type[Metric]] = {kind.name: kind for kind in (Accuracy, Loss, EdgeOfStability)}


def evaluator(metric: Metric) -> Callable[[Epoch], float]:
    """A function from each evaluation of a run, in order, to the value of the metric; nan as long as there is none."""
    if not isinstance(metric, EdgeOfStability):
        return lambda epoch: float(getattr(epoch, metric.name))
    running = Running(metric)

    def edge(epoch: Epoch) -> float:
        value = running.add(epoch.loss, epoch.lr)
        return math.nan if value is None else value

    return edge
