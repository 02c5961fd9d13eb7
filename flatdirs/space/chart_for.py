"""The chart for just the hyperparameters that somebody tunes, by their optimizer.

What no chart relates to the others (beta2, dropout …) comes to it as a further hyperparameter: further.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from flatdirs.errors import ChartError
from flatdirs.setting_checks import require_choice, wrong
from flatdirs.space.chart import Chart
from flatdirs.space.names import canonical
from flatdirs.space.shipped_charts import named_chart

OPTIMIZERS = ("sgd", "adamw", "adam")
IN_CHARTS = {
    "sgd": ("lr", "momentum", "wd", "batch_size"),
    "adamw": ("lr", "wd", "beta1"),
    "adam": ("lr", "wd", "beta1"),
}


def chart_for(names: Iterable[str], optimizer: str = "sgd") -> Chart:
    """The chart of these hyperparameters, with the axes that `Chart.fix` would keep; without names, one without axes.

    `optimizer`: sgd, adamw, or adam (coupled L2). Raises ChartError for a name that is not in IN_CHARTS.
    """
    require_choice("optimizer", optimizer, OPTIMIZERS, ChartError)
    wanted = list(dict.fromkeys(map(canonical, names)))
    if unknown := [name for name in wanted if name not in IN_CHARTS[optimizer]]:
        problem = f"is in no chart for {optimizer}, which have {', '.join(IN_CHARTS[optimizer])}"
        raise wrong("names", unknown[0], problem, ChartError, "give it a start and a range of its own")
    if not wanted:
        return Chart("further", (), (), follows=None)
    return named_chart("sgd_batch" if "batch_size" in wanted else optimizer).restrict(wanted)
