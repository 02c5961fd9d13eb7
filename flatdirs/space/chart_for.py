"""The chart for just the hyperparameters that somebody tunes, by their optimizer.

What no chart relates to the others (dropout, and beta2 unless AdamW's batch size is tuned as well) comes to it as a
further hyperparameter: further.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flatdirs.errors import ChartError
from flatdirs.setting_checks import require_choice, wrong
from flatdirs.space.chart import Chart
from flatdirs.space.names import canonical
from flatdirs.space.shipped_charts import named_chart

OPTIMIZERS = ("sgd", "adamw", "adam", "muon")
LORA = ("lora_rank", "lora_alpha")


def chart_name(names: Collection[str], optimizer: str) -> str:
    """The shipped chart that relates these hyperparameters, by their short names."""
    if not set(LORA).isdisjoint(names):
        return "lora"
    if "batch_size" not in names or optimizer == "muon":  # for Muon no law is known
        return optimizer
    if optimizer == "sgd":
        return "sgd_batch"
    return "adamw_batch" if optimizer == "adamw" and "wd" in names else "adam_batch"


def related(names: Iterable[str], optimizer: str) -> list[str]:
    """Those of these hyperparameters that `chart_for` has a chart for, by their short names, each once."""
    wanted = list(dict.fromkeys(map(canonical, names)))
    known = named_chart(chart_name(wanted, optimizer)).hyperparameters
    return [name for name in wanted if name in known]


def chart_for(names: Iterable[str], optimizer: str = "sgd") -> Chart:
    """The chart of these hyperparameters, with the axes that `Chart.fix` would keep; without names, one without axes.

    `optimizer`: sgd, adamw, adam (coupled L2) or muon. Raises ChartError for a name that is not `related`.
    """
    require_choice("optimizer", optimizer, OPTIMIZERS, ChartError)
    wanted = list(dict.fromkeys(map(canonical, names)))
    if not wanted:
        return Chart("further", (), (), follows=None)
    chart = named_chart(chart_name(wanted, optimizer))
    if unknown := [name for name in wanted if name not in chart.hyperparameters]:
        problem = f"is not in chart {chart.name}, which has {', '.join(chart.hyperparameters)}"
        raise wrong("names", unknown[0], problem, ChartError, "give it a start and a range of its own")
    return chart.restrict(wanted)
