"""The search space of `task=callable` where no chart was chosen: what the function takes, and what the user added.

Of lr, momentum, wd, beta1 and batch_size those count that the function has a parameter for. Any other number is given
by its start (start.dropout=0.1) and its range (chart.bounds.dropout=[0,0.5]), one of several by
choices={act:[relu,gelu]}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flatdirs.backend.sampler import TYPICAL_ADAMW, TYPICAL_SGD
from flatdirs.config.values import read_value
from flatdirs.errors import ConfigError
from flatdirs.objectives.function import CallableObjective
from flatdirs.setting_checks import wrong
from flatdirs.space.chart import Chart
from flatdirs.space.names import canonical_keys
from flatdirs.space.shipped_charts import read_chart
from flatdirs.tuning.python_plan import chart_of
from flatdirs.tuning.start import START_WORDS

KEYS = ("start.{}", "chart.bounds.{}", "choices.{}")
KNOWN = ("lr", "momentum", "wd", "beta1", "batch_size")
USUAL = (*KNOWN, "sigma")  # keys of conf/start/*.yaml


def read_function_space(
    settings: Mapping[str, Any], objective: CallableObjective
) -> tuple[Chart, dict[str, Any], dict[str, str]]:
    """The chart, its start, and the words of the start such as lr=auto. Raises ConfigError or ChartError."""
    given = canonical_keys(settings["start"])
    choices = _read_choices(settings["choices"])
    names = [name for name in KNOWN if given.get(name) is not None and objective.takes(name)]
    if "momentum" in names and "beta1" in names:
        names.remove("beta1")
    words = {key: str(given[key]) for key, known in START_WORDS.items() if key in names and given[key] in known}
    typical = TYPICAL_ADAMW if "beta1" in names else TYPICAL_SGD
    start = {name: typical[name] if name in words else _number(name, given[name]) for name in names}
    own = {name: value for name, value in given.items() if name not in USUAL and value is not None}
    start |= {name: value if name in choices else _number(name, value) for name, value in own.items()}
    start |= {name: told[0] for name, told in choices.items() if name not in start}
    if not start:
        raise wrong("task.function", objective.task.function, f"has no parameter for any of {', '.join(KNOWN)}")
    bounds = canonical_keys(settings["chart"].get("bounds") or {})
    usual = read_chart({**settings["chart"], "bounds": {k: v for k, v in bounds.items() if k in KNOWN}})
    ends = {name: _range(name, pair, start) for name, pair in bounds.items() if name not in KNOWN}
    chart, values = chart_of(start, None, ends, choices, KEYS)
    narrower = {name: pair for name, pair in usual.bounds.items() if name in chart.hyperparameters}
    return chart.within(narrower).with_step(usual.step), values, words


def _range(name: str, pair: Any, start: Mapping[str, Any]) -> tuple[float, float]:
    """The range of a further hyperparameter; whole numbers stay whole."""
    low, high = read_value(tuple[float, float], pair, f"chart.bounds.{name}")
    if name not in start:
        raise ConfigError(f"chart.bounds.{name} has no start; set start.{name}", key=f"start.{name}")
    whole = all(isinstance(one, int) for one in pair)
    return (int(low), int(high)) if whole else (low, high)


def _number(name: str, value: Any) -> Any:
    number = read_value(float, value, f"start.{name}")
    return value if isinstance(value, int) and name != "lr" else number


def _read_choices(given: Any) -> dict[str, list[Any]]:
    """The lists of `choices`, by name, the start of each first."""
    if not isinstance(given, Mapping):
        raise wrong("choices", given, "must hold lists such as {act:[relu,gelu]}")
    for name, told in given.items():
        if not isinstance(told, list) or len(told) < 2:
            raise ConfigError(f"choices.{name} must be a list of two or more; change choices", key=f"choices.{name}")
    return canonical_keys(given)
