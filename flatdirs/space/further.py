"""Further hyperparameters: any number on an axis of its own, and choices between things that are no numbers.

    Further(name, start, low, high, …) ──► with_further(chart, furthers) ──► the chart with their axes, their start

A number's axis is log, linear or logit by its range (scales.py); momentum, beta1 and beta2 enter as 1 − value. Nothing
is known about flat directions among them, so an axis is one hyperparameter. Choices have no axis: search/choices.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from flatdirs.errors import ChartError, FlatdirsError
from flatdirs.setting_checks import wrong
from flatdirs.space.chart import Axis, Chart, alike
from flatdirs.space.names import canonical, enters_as_one_minus, label
from flatdirs.space.scales import KINDS, Kind, Scale, on_step, usual_kind

CHOSEN = (str, bool, int, float)  # what a choice may be between


@dataclass(frozen=True)
class Further:
    """One further hyperparameter: a number with a range or without, or one of `choices`.

    `scale`: None for what suits the range. `step`: values are low + k·step (k·step without low). `whole`: whole
    numbers. `key`: the setting that errors name, start.NAME by default. Raises ChartError where these do not fit.
    """

    name: str
    start: Any
    low: float | None = None
    high: float | None = None
    scale: Kind | None = None
    step: float | None = None
    whole: bool = False
    choices: tuple[Any, ...] = ()
    key: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical(self.name))
        object.__setattr__(self, "choices", tuple(self.choices))
        problem = self._problem_of_choices() if self.choices else self._problem_of_number()
        if problem:
            raise self.wrong(problem)

    def wrong(self, problem: str) -> FlatdirsError:
        """The error of this hyperparameter."""
        given = "|".join(map(str, self.choices)) if self.choices else ":".join(map(_text, self._given()))
        key = self.key or f"start.{self.name}"
        return wrong(key, given if key.endswith(self.name) else f"{self.name}:{given}", problem, ChartError)

    def _given(self) -> list[Any]:
        ends = [] if self.low is None and self.high is None else [self.low, self.high]
        return [self.start, *ends, *([self.scale] if self.scale else [])]

    def _problem_of_choices(self) -> str | None:
        if not all(isinstance(choice, CHOSEN) for choice in self.choices):
            return "has a choice that is no text, number or truth value"
        if len(_distinct(self.choices)) < max(2, len(self.choices)):
            return "needs two different choices or more, each once"
        if _place(self.start, self.choices) is None:
            return f"begins with {self.start}, which is none of its choices"
        return (
            "is a choice, which has no range" if (self.low, self.high, self.scale, self.step) != (None,) * 4 else None
        )

    def _problem_of_number(self) -> str | None:
        numbers = [number for number in (self.start, self.low, self.high, self.step) if number is not None]
        if self.start is None or not all(_is_number(number) for number in numbers):
            return "must have numbers as its start and its range"
        if self.low is not None and self.high is not None and not self.low < self.high:
            return f"has the low end {self.low:g}, which must be below the high end {self.high:g}"
        if self._outside():
            return f"begins at {self.start:g}, outside its range"
        if self.whole and any(float(number) != int(number) for number in numbers):
            return "is a whole number, so its start, its range and its step must be whole"
        return self._problem_of_step() or self._problem_of_scale()

    def _problem_of_step(self) -> str | None:
        if self.step is None:
            return None
        if not self.step > 0:
            return f"has the step {self.step:g}, which must be above 0"
        on = on_step(self.start, 0.0 if self.low is None else self.low, self.step)
        if math.isclose(on, self.start, rel_tol=1e-9, abs_tol=1e-9 * self.step):
            return None
        return f"begins at {self.start:g}, which is not on its steps of {self.step:g}"

    def _outside(self) -> bool:
        return (self.low is not None and self.start < self.low) or (self.high is not None and self.start > self.high)

    def _problem_of_scale(self) -> str | None:
        if self.scale not in (None, *KINDS):
            return f"has the scale {self.scale}, which must be log, linear or logit"
        kind, ends = self.kind, [end for end in (self.low, self.high) if end is not None]
        if kind == "linear" and len(ends) < 2:
            return "needs a range for a linear scale, its low and high end"
        if self.one_minus:
            return None if 0 <= self.start < 1 and all(0 <= end <= 1 for end in ends) else "must lie between 0 and 1"
        if kind == "log" and min([self.start, *(ends if self.scale else [self.start])]) <= 0:
            return "must be above 0 on a log scale"
        if kind == "logit" and not all(0 < number < 1 for number in (self.start, *ends)):
            return "must lie between 0 and 1, both left out, on a logit scale"
        return None

    @property
    def one_minus(self) -> bool:
        """Whether it enters as 1 − value: a decay rate of averages without a scale of its own."""
        return self.scale is None and enters_as_one_minus(self.name)

    @property
    def kind(self) -> Kind:
        """Its scale."""
        return self.scale or ("log" if self.one_minus else usual_kind(self.start, self.low, self.high))


def with_further(chart: Chart, furthers: Iterable[Further]) -> tuple[Chart, dict[str, Any]]:
    """The chart with an axis for each number and the choices, and the values that these start with.

    Raises ChartError where a name is given twice or the chart has it.
    """
    start: dict[str, Any] = {}
    for one in furthers:
        if one.name in (*chart.hyperparameters, *chart.choices):
            raise one.wrong(f"is given twice: {one.name} is a hyperparameter already")
        chart = _with_choices(chart, one) if one.choices else _with_number(chart, one)
        start[one.name] = int(one.start) if one.whole else one.start if one.choices else float(one.start)
    return chart, start


def _with_choices(chart: Chart, one: Further) -> Chart:
    place = _place(one.start, one.choices) or 0
    ordered = (one.choices[place], *one.choices[:place], *one.choices[place + 1 :])
    return replace(chart, choices={**chart.choices, one.name: ordered})


def _with_number(chart: Chart, one: Further) -> Chart:
    linear = one.kind == "linear" and one.low is not None and one.high is not None
    scale = Scale("linear", float(one.low or 0), float(one.high or 0)) if linear else Scale(one.kind)
    low, high = (None if end is None else float(end) for end in (one.low, one.high))
    only = frozenset([one.name])
    return replace(
        chart,
        hyperparameters=(*chart.hyperparameters, one.name),
        axes=(*chart.axes, Axis(label(one.name, one.one_minus), {one.name: 1})),
        one_minus=chart.one_minus | only if one.one_minus else chart.one_minus,
        whole=chart.whole | only if one.whole else chart.whole,
        bounds={**chart.bounds, one.name: (0.0 if one.one_minus and low is None else low, high)},
        scales={**chart.scales, one.name: scale},
        steps={**chart.steps, one.name: float(one.step)} if one.step is not None else chart.steps,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _place(value: Any, choices: tuple[Any, ...]) -> int | None:
    """Where a choice stands; None where it is none of them."""
    return next((n for n, choice in enumerate(choices) if alike(choice, value)), None)


def _distinct(choices: tuple[Any, ...]) -> list[Any]:
    return [choice for n, choice in enumerate(choices) if _place(choice, choices) == n]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
