"""flatdirs finds learning rate, momentum and weight decay in a handful of training runs.

The public names, imported when first used, so that `import flatdirs` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatdirs.chart import Axis, Chart, Lattice, named_chart
    from flatdirs.curvature.edge import edge_of_stability, preconditioner
    from flatdirs.curvature.recorder import CurvatureLog
    from flatdirs.curvature.sharpness import Sharpness, sharpness
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
    "Axis": "chart",
    "Chart": "chart",
    "ChartError": "errors",
    "ConfigError": "errors",
    "CurvatureError": "errors",
    "CurvatureLog": "curvature.recorder",
    "DataError": "errors",
    "FinderError": "errors",
    "FlatDirectionsSampler": "sampler",
    "FlatdirsError": "errors",
    "Lattice": "chart",
    "LearningRates": "stepsampling.result",
    "ObjectiveError": "errors",
    "Outcome": "search",
    "Rules": "search",
    "Sharpness": "curvature.sharpness",
    "StudyError": "errors",
    "edge_of_stability": "curvature.edge",
    "find_learning_rate": "stepsampling.finder",
    "named_chart": "chart",
    "preconditioner": "curvature.edge",
    "sharpness": "curvature.sharpness",
}
__all__ = [
    "Axis",
    "Chart",
    "ChartError",
    "ConfigError",
    "CurvatureError",
    "CurvatureLog",
    "DataError",
    "FinderError",
    "FlatDirectionsSampler",
    "FlatdirsError",
    "Lattice",
    "LearningRates",
    "ObjectiveError",
    "Outcome",
    "Rules",
    "Sharpness",
    "StudyError",
    "__version__",
    "edge_of_stability",
    "find_learning_rate",
    "named_chart",
    "preconditioner",
    "sharpness",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flatdirs' has no attribute {name!r}")
    return getattr(import_module(f"flatdirs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
