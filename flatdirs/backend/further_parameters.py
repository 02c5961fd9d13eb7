"""Parameters of a study outside the chart, as axes and choices of their own.

A number's axis is log where its distribution is, else by its range; it begins in the middle of the range that was
suggested first. A categorical parameter is a choice that begins with its first value. The first `MOST` of either enter
the search, in the order in which the study suggests them; the others, and what has no place on an axis, are random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from flatdirs.backend.parameter_names import ParameterNames
from flatdirs.backend.ranges import NUMERIC, nearest
from flatdirs.errors import ChartError
from flatdirs.space.chart import Chart
from flatdirs.space.further import Further
from flatdirs.space.grid import complement, decimals_of, significant
from flatdirs.space.names import canonical, enters_as_one_minus
from flatdirs.space.scales import Kind, Scale, usual_kind

MOST = 3  # further numbers, and further choices, that a search has


class FurtherParameters:
    """The parameters outside the chart that one study has suggested."""

    def __init__(self, names: ParameterNames, chart: Chart) -> None:
        self._names, self._taken = names, {*chart.hyperparameters, *chart.choices}
        self._first: dict[str, tuple[tuple[int, int], Further]] = {}
        self._last: dict[str, tuple[int, BaseDistribution]] = {}
        self._chosen: dict[str, Further] | None = None

    def read(self, trial: FrozenTrial) -> None:
        """Take in the distributions of one trial."""
        for place, (parameter, space) in enumerate(trial.distributions.items()):
            if (found := self.of(parameter, space)) is None:
                continue
            self._chosen, key = None, (trial.number, place)
            self._first[parameter] = min(self._first.get(parameter, (key, found)), (key, found), key=lambda two: two[0])
            if trial.number >= self._last.get(parameter, (-1, space))[0]:
                self._last[parameter] = trial.number, space

    def of(self, parameter: str, space: BaseDistribution, start: Any = None) -> Further | None:
        """What a parameter is in the search; None for one of the chart, and one that can only be constant or random."""
        if self._names.find(parameter) is not None or canonical(parameter) in self._taken:
            return None
        try:
            return _further(parameter, space, start)
        except ChartError:
            return None

    @property
    def chosen(self) -> dict[str, Further]:
        """Those that enter the search, by parameter: the first MOST numbers and choices, in the ranges suggested
        last.
        """
        if self._chosen is None:
            found: dict[str, Further] = {}
            for parameter, (_, first) in sorted(self._first.items(), key=lambda item: item[1][0]):
                one = self.of(parameter, self._last[parameter][1], first.start)
                alike = [other for other in found.values() if bool(other.choices) == bool(first.choices)]
                if one is not None and len(alike) < MOST and one.name not in [other.name for other in found.values()]:
                    found[parameter] = one
            self._chosen = found
        return self._chosen

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The further hyperparameters that a trial's parameters say."""
        chosen = self.chosen
        return {chosen[parameter].name: value for parameter, value in parameters.items() if parameter in chosen}

    def first_value(self, trial: FrozenTrial, parameter: str, space: BaseDistribution) -> Any:
        """Where a parameter begins that no trial has shown before; None where it stays outside the search."""
        if (found := self.of(parameter, space)) is None:
            return None
        shown = [self.of(other, there) for other, there in trial.distributions.items()]
        alike = [one for one in shown if one is not None and bool(one.choices) == bool(found.choices)]
        return found.start if len(alike) < MOST else None


def held(value: Any, space: BaseDistribution) -> Any:
    """The value of a distribution nearest to what a search wants; None for a choice that it does not have."""
    if isinstance(space, NUMERIC) and isinstance(value, (int, float)):
        return nearest(value, space, space.low, space.high)
    return value if isinstance(space, CategoricalDistribution) and value in space.choices else None


def _further(parameter: str, space: BaseDistribution, start: Any) -> Further | None:
    """A parameter and its distribution as a further hyperparameter that begins near `start`, None: in the middle."""
    if isinstance(space, CategoricalDistribution):
        return Further(parameter, space.choices[0], choices=space.choices) if len(space.choices) > 1 else None
    if not isinstance(space, NUMERIC) or space.low == space.high:
        return None
    start = nearest(_middle(parameter, space) if start is None else start, space, space.low, space.high)
    step, whole = None if space.log else space.step, isinstance(space, IntDistribution)
    scale: Kind | None = "log" if space.log else None
    step = None if whole and step == 1 else step
    return Further(parameter, start, space.low, space.high, scale, step, whole)


def _middle(parameter: str, space: FloatDistribution | IntDistribution) -> float:
    """The middle of a range on its own scale, rounded."""
    low, high = float(space.low), float(space.high)
    if not space.log and enters_as_one_minus(canonical(parameter)):
        return complement(math.sqrt((1.0 - low) * (1.0 - high))) if low >= 0 and high < 1 else (low + high) / 2
    kind = "log" if space.log else usual_kind(low, low, high)
    scale = Scale(kind, low, high)
    value = scale.outer(math.sqrt(scale.inner(low) * scale.inner(high)))
    return significant(value) if kind == "log" else round(value, decimals_of(high - low))
