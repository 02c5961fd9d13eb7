"""flatdirs finds learning rate, momentum and weight decay in a handful of training runs.

The public names, imported when first used, so that `import flatdirs` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatdirs.chart import Axis, Chart, Lattice, named_chart
    from flatdirs.errors import (
        ChartError,
        ConfigError,
        DataError,
        FinderError,
        FlatdirsError,
        ObjectiveError,
        StudyError,
    )
    from flatdirs.sampler import FlatDirectionsSampler
    from flatdirs.search import Outcome, Rules
    from flatdirs.stepsampling.finder import find_learning_rate
    from flatdirs.stepsampling.result import LearningRates
    from flatdirs.sweep.metric import EdgeOfStability, edge_of_stability
    from flatdirs.sweep.pruners import IncumbentPruner, RungsPruner, WandbPruner

__version__ = "0.1.0"
_HOMES = {
    "Axis": "chart",
    "Chart": "chart",
    "ChartError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "EdgeOfStability": "sweep.metric",
    "FinderError": "errors",
    "FlatDirectionsSampler": "sampler",
    "FlatdirsError": "errors",
    "IncumbentPruner": "sweep.pruners",
    "Lattice": "chart",
    "LearningRates": "stepsampling.result",
    "ObjectiveError": "errors",
    "Outcome": "search",
    "Rules": "search",
    "RungsPruner": "sweep.pruners",
    "StudyError": "errors",
    "WandbPruner": "sweep.pruners",
    "edge_of_stability": "sweep.metric",
    "find_learning_rate": "stepsampling.finder",
    "named_chart": "chart",
}
__all__ = [
    "Axis",
    "Chart",
    "ChartError",
    "ConfigError",
    "DataError",
    "EdgeOfStability",
    "FinderError",
    "FlatDirectionsSampler",
    "FlatdirsError",
    "IncumbentPruner",
    "Lattice",
    "LearningRates",
    "ObjectiveError",
    "Outcome",
    "Rules",
    "RungsPruner",
    "StudyError",
    "WandbPruner",
    "__version__",
    "edge_of_stability",
    "find_learning_rate",
    "named_chart",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flatdirs' has no attribute {name!r}")
    return getattr(import_module(f"flatdirs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
