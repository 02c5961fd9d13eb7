"""flatdirs finds learning rate, momentum and weight decay in a handful of training runs.

The public names, imported when first used, so that `import flatdirs` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatdirs.chart import Axis, Chart, Lattice, named_chart
    from flatdirs.curvature.cdat import CDAT, QuadraticallyGreedy
    from flatdirs.curvature.line_search import ArmijoLineSearch
    from flatdirs.errors import (
        ChartError,
        ConfigError,
        CurvatureError,
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

__version__ = "0.1.0"
_HOMES = {
    "CDAT": "curvature.cdat",
    "ArmijoLineSearch": "curvature.line_search",
    "Axis": "chart",
    "Chart": "chart",
    "ChartError": "errors",
    "ConfigError": "errors",
    "CurvatureError": "errors",
    "DataError": "errors",
    "FinderError": "errors",
    "FlatDirectionsSampler": "sampler",
    "FlatdirsError": "errors",
    "Lattice": "chart",
    "LearningRates": "stepsampling.result",
    "ObjectiveError": "errors",
    "Outcome": "search",
    "QuadraticallyGreedy": "curvature.cdat",
    "Rules": "search",
    "StudyError": "errors",
    "find_learning_rate": "stepsampling.finder",
    "named_chart": "chart",
}
__all__ = [
    "CDAT",
    "ArmijoLineSearch",
    "Axis",
    "Chart",
    "ChartError",
    "ConfigError",
    "CurvatureError",
    "DataError",
    "FinderError",
    "FlatDirectionsSampler",
    "FlatdirsError",
    "Lattice",
    "LearningRates",
    "ObjectiveError",
    "Outcome",
    "QuadraticallyGreedy",
    "Rules",
    "StudyError",
    "__version__",
    "find_learning_rate",
    "named_chart",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flatdirs' has no attribute {name!r}")
    return getattr(import_module(f"flatdirs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
