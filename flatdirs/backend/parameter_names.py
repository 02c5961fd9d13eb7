"""Which parameters of somebody's study are which hyperparameters, such as lr for learning_rate and optimizer.lr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flatdirs.errors import ChartError
from flatdirs.space.chart import Chart
from flatdirs.space.names import ONE_MINUS, recognized

Known = tuple[str, bool]  # a hyperparameter, and whether the study holds 1 − value


class ParameterNames:
    """The hyperparameters of a chart under the names of a study.

    `given`: hyperparameter → the parameter of the study; such a hyperparameter has no other name. Those that are not
    given have the usual names, alone or after one_minus_ where the chart has 1 − value. Raises ChartError for a
    hyperparameter that the chart does not have, or a parameter that would be two of them.
    """

    def __init__(self, chart: Chart, given: Mapping[str, str]) -> None:
        if unknown := set(given) - set(chart.hyperparameters):
            told, has = ", ".join(sorted(unknown)), ", ".join(chart.hyperparameters)
            raise ChartError(f"names has {told}, but chart {chart.name} has {has}; change names", key="names")
        self.given = dict(given)
        self._hyperparameters, self._one_minus = chart.hyperparameters, chart.one_minus
        self._known: dict[str, Known | None] = {}
        for name, parameter in given.items():
            other = self._known.get(parameter) or self._usual(parameter)
            if other is not None and other[0] != name:
                raise ChartError(f"names gives {parameter} to both {other[0]} and {name}; change names", key="names")
            self._known[parameter] = name, parameter.startswith(ONE_MINUS)

    def find(self, parameter: str) -> Known | None:
        """The hyperparameter that a parameter of the study is, None for one outside the chart."""
        if parameter not in self._known:
            self._known[parameter] = self._usual(parameter)
        return self._known[parameter]

    def any_of(self, parameters: Iterable[str]) -> bool:
        """Whether any of these parameters is a hyperparameter of the chart."""
        return any(self.find(parameter) is not None for parameter in parameters)

    def names_of(self, parameters: Iterable[str]) -> set[str]:
        """The hyperparameters among these parameters."""
        return {known[0] for parameter in parameters if (known := self.find(parameter)) is not None}

    def values(self, parameters: Mapping[str, Any]) -> dict[str, float]:
        """The hyperparameters that a trial's parameters say; those that are no numbers are left out."""
        found = {}
        for parameter, value in parameters.items():
            known = self.find(parameter)
            if known is not None and isinstance(value, (int, float)) and not isinstance(value, bool):
                found[known[0]] = 1.0 - value if known[1] else value
        return found

    def _usual(self, parameter: str) -> Known | None:
        """By the chart's own names first, then by the usual ones."""
        for name in (parameter, recognized(parameter)):
            bare = None if name is None else name.removeprefix(ONE_MINUS)
            one_minus = name != bare
            if bare in self._hyperparameters and bare not in self.given and (not one_minus or bare in self._one_minus):
                return bare, one_minus
        return None
