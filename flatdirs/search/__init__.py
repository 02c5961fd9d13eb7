"""The searches that are flatdirs' own. Pure: no storage, no training.

`bayes.suggest` is the default search, `coordinate_descent` Myrtle's (`myrtle`, and `raw` on the bare hyperparameters).
"""

from __future__ import annotations

from flatdirs.errors import ConfigError
from flatdirs.search.bayes import BayesSettings
from flatdirs.search.bracketing import MOVE
from flatdirs.search.coordinate_descent import DescentSettings
from flatdirs.space.chart import Chart

Settings = BayesSettings | DescentSettings
SEARCHES: dict[str, type[Settings]] = {"flatdirs": BayesSettings, "myrtle": DescentSettings, "raw": DescentSettings}


def grid_chart(search: str, chart: Chart) -> Chart:
    """The chart whose grid a search works on: half moves for `flatdirs`, one axis a hyperparameter for `raw`."""
    if search not in SEARCHES:
        raise ConfigError(f"search={search} is unknown here; choose one of {', '.join(SEARCHES)}", key="search")
    if search == "flatdirs":
        return chart.refine(MOVE)
    return chart.raw() if search == "raw" else chart
