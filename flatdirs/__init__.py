"""flatdirs finds learning rate, momentum and weight decay in a handful of training runs.

The public names, imported when first used, so that `import flatdirs` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatdirs.api import SearchResult, tune
    from flatdirs.backend.pruners import IncumbentPruner, RungsPruner, WandbPruner
    from flatdirs.backend.recommend import Recommendation, recommend
    from flatdirs.backend.sampler import FlatDirectionsSampler
    from flatdirs.carrying.carry import CarriedOver, carry_over
    from flatdirs.curvature.cdat import CDAT, QuadraticallyGreedy
    from flatdirs.curvature.line_search import ArmijoLineSearch
    from flatdirs.curvature.log import CurvatureLog
    from flatdirs.curvature.sharpness import Sharpness, sharpness
    from flatdirs.curvature.stability import edge_of_stability
    from flatdirs.errors import (
        ChartError,
        ConfigError,
        CurvatureError,
        DataError,
        FinderError,
        FlatdirsError,
        FlatdirsWarning,
        MissingExtra,
        ObjectiveError,
        StudyError,
    )
    from flatdirs.lr_finder.finder import find_learning_rate
    from flatdirs.lr_finder.result import LearningRates
    from flatdirs.search.coordinate_descent import DescentSettings
    from flatdirs.search.known import BayesSettings
    from flatdirs.space.chart import Axis, Chart
    from flatdirs.space.grid import Grid
    from flatdirs.space.shipped_charts import named_chart
    from flatdirs.training.edge_metric import EdgeOfStability
    from flatdirs.tuning.tuner import Tuner

__version__ = "0.1.0"
__all__ = [  # noqa: RUF022 - what is used most comes first
    "tune", "SearchResult", "Tuner",
    "FlatDirectionsSampler", "BayesSettings", "DescentSettings", "Chart", "Axis", "Grid", "named_chart",
    "carry_over", "CarriedOver",
    "recommend", "Recommendation", "IncumbentPruner", "RungsPruner", "WandbPruner", "find_learning_rate",
    "LearningRates",
    "CDAT", "QuadraticallyGreedy", "ArmijoLineSearch", "CurvatureLog", "Sharpness", "sharpness", "edge_of_stability",
    "EdgeOfStability", "FlatdirsError", "ChartError", "ConfigError", "CurvatureError", "DataError", "FinderError",
    "MissingExtra", "ObjectiveError", "StudyError", "FlatdirsWarning", "__version__",
]  # fmt: skip
_MODULES = {
    "api": ("SearchResult", "tune"),
    "backend.pruners": ("IncumbentPruner", "RungsPruner", "WandbPruner"),
    "backend.recommend": ("Recommendation", "recommend"),
    "backend.sampler": ("FlatDirectionsSampler",),
    "carrying.carry": ("CarriedOver", "carry_over"),
    "curvature.cdat": ("CDAT", "QuadraticallyGreedy"),
    "curvature.line_search": ("ArmijoLineSearch",),
    "curvature.log": ("CurvatureLog",),
    "curvature.sharpness": ("Sharpness", "sharpness"),
    "curvature.stability": ("edge_of_stability",),
    "lr_finder.finder": ("find_learning_rate",),
    "lr_finder.result": ("LearningRates",),
    "search.bayes": ("BayesSettings",),
    "search.coordinate_descent": ("DescentSettings",),
    "space.chart": ("Axis", "Chart"),
    "space.grid": ("Grid",),
    "space.shipped_charts": ("named_chart",),
    "training.edge_metric": ("EdgeOfStability",),
    "tuning.tuner": ("Tuner",),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flatdirs' has no attribute {name!r}")
    home = next((module for module, names in _MODULES.items() if name in names), "errors")
    try:
        return getattr(import_module(f"flatdirs.{home}"), name)
    except ModuleNotFoundError as error:
        from flatdirs.errors import missing_extra

        if (missing := missing_extra(error)) is None:
            raise
        raise missing from error


def __dir__() -> list[str]:
    return sorted(__all__)
