"""flatdirs finds learning rate, momentum and weight decay in a handful of training runs.

The public names, imported when first used, so that `import flatdirs` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flatdirs.chart import Axis, Chart, Lattice, named_chart
    from flatdirs.errors import ChartError, ConfigError, DataError, FlatdirsError, ObjectiveError, StudyError
    from flatdirs.sampler import FlatDirectionsSampler
    from flatdirs.search import Outcome, Rules

__version__ = "0.1.0"
_HOMES = {
    "Axis": "chart",
    "Chart": "chart",
    "ChartError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "FlatDirectionsSampler": "sampler",
    "FlatdirsError": "errors",
    "Lattice": "chart",
    "ObjectiveError": "errors",
    "Outcome": "search",
    "Rules": "search",
    "StudyError": "errors",
    "named_chart": "chart",
}
__all__ = [
    "Axis",
    "Chart",
    "ChartError",
    "ConfigError",
    "DataError",
    "FlatDirectionsSampler",
    "FlatdirsError",
    "Lattice",
    "ObjectiveError",
    "Outcome",
    "Rules",
    "StudyError",
    "__version__",
    "named_chart",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flatdirs' has no attribute {name!r}")
    return getattr(import_module(f"flatdirs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
