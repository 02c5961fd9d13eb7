"""The searches that are flatdirs' own. Pure: no storage, no training.

`bayes.suggest` is the default search, `coordinate_descent` Myrtle's (`myrtle`, and `raw` on the bare hyperparameters).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flatdirs.errors import ConfigError
from flatdirs.search.bracketing import MOVE
from flatdirs.search.coordinate_descent import DescentSettings, refuse_choices
from flatdirs.search.known import BayesSettings
from flatdirs.space.chart import Chart

Settings = BayesSettings | DescentSettings
SEARCHES: dict[str, type[Settings]] = {"flatdirs": BayesSettings, "myrtle": DescentSettings, "raw": DescentSettings}


def grid_chart(search: str, chart: Chart) -> Chart:
    """The chart whose grid a search works on: half moves for `flatdirs`, one axis a hyperparameter for `raw`.

    Raises ConfigError for another search, and where a chart has choices that the search cannot make.
    """
    if search not in SEARCHES:
        raise ConfigError(f"search={search} is unknown here; choose one of {', '.join(SEARCHES)}", key="search")
    if search == "flatdirs":
        return chart.refine(MOVE)
    refuse_choices(chart)
    return chart.raw() if search == "raw" else chart


def stored(settings: Settings) -> dict[str, Any]:
    """The settings of a search as a study keeps them; those that have no key in conf/ only where they are set."""
    plain = {"deterministic": False, "kernels": "all", "earlier": (), "second": None}
    return {key: value for key, value in asdict(settings).items() if key not in plain or value != plain[key]}
