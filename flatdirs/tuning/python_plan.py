"""From the arguments of `flatdirs.tune` and `flatdirs.Tuner` to the plan of a search.

    start, fixed, ranges, choices, optimizer → chart (chart_for.py, further.py) → SearchPlan

Which chart: the one for the names in `start`. Any other name has an axis of its own. Inside, names are short; results
are given in those that the user wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flatdirs.backend.search_plan import ANYWHERE, BASELINES, SearchPlan
from flatdirs.search import SEARCHES, grid_chart
from flatdirs.search.known import BayesSettings
from flatdirs.setting_checks import require_boolean, require_choice, require_integer, wrong
from flatdirs.space.chart import Chart
from flatdirs.space.chart_for import OPTIMIZERS, chart_for, related
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid
from flatdirs.space.names import canonical
from flatdirs.tuning.commands import usual_box

LARGEST_SEED = 2**31 - 1
IN_PYTHON = ("start", "ranges", "choices")  # the arguments that errors name
Range = Sequence[Any]  # (low, high) or (low, high, "log" | "linear" | "logit")


@dataclass(frozen=True)
class PythonPlan:
    """`chart`: with all hyperparameters of the start; `plan`: without the fixed ones, in the steps of its search.

    `spelling`: short name → the name that the user gave it.
    """

    chart: Chart
    plan: SearchPlan
    spelling: Mapping[str, str]

    def spelled(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Hyperparameters under the user's own names."""
        return {self.spelling.get(name, name): value for name, value in hyperparameters.items()}


def python_plan(
    start: Mapping[str, Any],
    optimizer: str | None = None,
    fixed: Iterable[str] = (),
    ranges: Mapping[str, Range] | None = None,
    choices: Mapping[str, Sequence[Any]] | None = None,
    search: str = "flatdirs",
    seed: int = 0,
    deterministic: bool | None = False,
    names: Mapping[str, str] | None = None,
) -> PythonPlan:
    """The plan of a search from `start`. Raises ConfigError or ChartError naming the argument.

    `names`: hyperparameter → the name that the user's function has for it, which may stand in `start` too.
    `deterministic`: None where the runs are to show it. `optimizer`: sgd, adamw or adam (coupled L2); None for adamw
    where there is a beta1 and no momentum, else sgd.
    """
    require_choice("search", search, (*SEARCHES, *BASELINES))
    require_integer("seed", seed, 0, LARGEST_SEED)
    if deterministic is not None:
        require_boolean("deterministic", deterministic)
    if not isinstance(start, Mapping) or not start:
        raise wrong("start", start, "must hold the hyperparameters to begin with, such as {'lr': 0.1}")
    short = {own: canonical(name) for name, own in (names or {}).items()}
    given = _short("start", start, short)
    pairs, among = _short("ranges", ranges or {}, short), _short("choices", choices or {}, short)
    for name, told in among.items():
        given.setdefault(name, _first(name, told))
    if unknown := [name for name in pairs if name not in given or name in among]:
        raise wrong("ranges", unknown[0], "is no number of the start", remedy="give it a start, or take it out")
    chart, values = chart_of(given, optimizer, pairs, among)
    held = [short.get(name, name) for name in _names("fixed", fixed)]
    walked = chart.fix(held) if held else chart
    walked = grid_chart(search, walked) if search in SEARCHES else walked
    walked = walked.within({name: ANYWHERE for name in walked.free if name not in {*walked.one_minus, *walked.scales}})
    own = SEARCHES[search]() if search in SEARCHES else None
    if isinstance(own, BayesSettings):
        own = replace(own, deterministic=deterministic)
    box = {} if own is not None else _box(walked, pairs)
    spelling = {short.get(name, canonical(name)): name for name in (*start, *(choices or {}))}
    return PythonPlan(chart, SearchPlan(search, Grid(walked, values), own, seed, box), spelling)


def _short(key: str, given: Mapping[str, Any], short: Mapping[str, str]) -> dict[str, Any]:
    """An argument with short names. Raises ConfigError where it is no mapping or names one thing twice."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise wrong(key, given, "must be a mapping from names")
    found = {short.get(name, canonical(name)): value for name, value in given.items()}
    if len(found) < len(given):
        raise wrong(key, list(given), "names a hyperparameter twice")
    return found


def _names(key: str, given: Any) -> list[str]:
    """One name or several as a list. Raises ConfigError for anything else."""
    found = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not all(isinstance(name, str) for name in found):
        raise wrong(key, given, "must hold names")
    return found


def _first(name: str, told: Any) -> Any:
    if isinstance(told, (str, bytes)) or not isinstance(told, Sequence) or not told:
        raise wrong("choices", {name: told}, "must hold lists such as ['sgd', 'adamw']")
    return told[0]


def chart_of(
    given: Mapping[str, Any],
    optimizer: str | None,
    pairs: Mapping[str, Range],
    among: Mapping[str, Sequence[Any]],
    keys: tuple[str, str, str] = IN_PYTHON,
) -> tuple[Chart, dict[str, Any]]:
    """The chart of the start's hyperparameters and the values it starts with.

    `keys`: what errors name for a start, a range and choices, with {} for the hyperparameter.
    """
    start_key, range_key, choice_key = keys
    if optimizer is None:
        optimizer = "adamw" if "beta1" in given and "momentum" not in given else "sgd"
    require_choice("optimizer", optimizer, OPTIMIZERS)
    for name, value in given.items():
        if name not in among and (isinstance(value, bool) or not isinstance(value, (int, float))):
            remedy = "give a number, or list what it may be in choices"
            raise wrong("start", f"{name}={value!r}", "is no number", remedy=remedy)
    ends = {name: _ends(range_key.format(name), name, pair) for name, pair in pairs.items()}
    known = related((name for name in given if name not in among and not _own_scale(ends, name)), optimizer)
    base = chart_for(known, optimizer)
    limited = {name: ends[name][:2] for name in known if name in ends}
    for name, (low, high) in limited.items():
        if not low <= given[name] <= high:
            raise wrong(range_key.format(name), f"{name}:{low:g}:{high:g}", f"does not hold the start {given[name]:g}")
    base = base.within(limited)
    further = list[Further]()
    for name in given:
        if name in among:
            further.append(Further(name, given[name], choices=tuple(among[name]), key=choice_key.format(name)))
        elif name not in known:
            key = range_key if name in ends or given[name] <= 0 else start_key
            further.append(_further(name, given[name], ends.get(name), key.format(name)))
    chart, values = with_further(base, further)
    for name in known:
        values[name] = given[name] if name in chart.whole else float(given[name])
    return chart, {name: values[name] for name in given}


def _own_scale(ends: Mapping[str, tuple[float, float, str | None]], name: str) -> str | None:
    """The scale that a range was given, which a hyperparameter of a chart has not: it becomes an axis of its own."""
    scale = ends[name][2] if name in ends else None
    return None if scale == "log" else scale


def _ends(key: str, name: str, pair: Any) -> tuple[float, float, str | None]:
    shown = pair if key.endswith(name) else {name: pair}
    numbers = list(pair) if isinstance(pair, Sequence) and not isinstance(pair, (str, bytes)) else []
    scale = numbers.pop() if len(numbers) == 3 else None
    if len(numbers) != 2 or not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in numbers):
        raise wrong(key, shown, "must be (low, high), or (low, high, 'log' or 'linear' or 'logit')")
    low, high = numbers
    if not (low < high and math.isfinite(high - low)):
        raise wrong(key, shown, "must have its low end below its high end")
    return low, high, scale


def _further(name: str, start: Any, ends: tuple[float, float, Any] | None, key: str) -> Further:
    low, high, scale = ends or (None, None, None)
    whole = all(isinstance(number, int) for number in (start, low, high) if number is not None)
    return Further(name, start, low, high, scale, whole=whole, key=key)


def _box(chart: Chart, pairs: Mapping[str, Range]) -> dict[str, tuple[float, float]]:
    """The ranges of Optuna's own searches: those given, else the usual ones."""
    box = {name: (float(low), float(high)) for name, (low, high) in usual_box().items()}
    for name, (low, high, *_) in pairs.items():
        key = f"one_minus_{name}" if name in chart.one_minus else name
        box[key] = (1.0 - high, 1.0 - low) if name in chart.one_minus else (float(low), float(high))
        if name not in chart.free or name in chart.scales:
            del box[key]
        elif box[key][0] <= 0:
            end = "end below 1" if name in chart.one_minus else "begin above 0"
            raise wrong(
                "ranges", f"{name}:{low:g}:{high:g}", f"must {end} with such a search, which draws in logarithms"
            )
    return box
