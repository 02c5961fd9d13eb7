"""The group task.metric: where the objective value of a command is found, and which way it should go."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flatdirs.objectives.command.metric_names import direction_of
from flatdirs.setting_checks import require_choice, wrong

KEY = "task.metric"
LAST = "last"  # the name that stands for the bare number in the last line


@dataclass(frozen=True)
class MetricConfig:
    """Where the objective value is found.

    `name`: in the output (last: a bare number in its last line), None if not told. `regex`: in its place, with one
    group, or with a group named value and perhaps one named step. `file`: a glob, relative to the run's folder or to
    the working directory; `column` (by default the name) is a column of a CSV file, a key of a JSON file, or a tag.
    `take`: last or best. `direction`: maximize or minimize, None to read it from the name.
    """

    name: str | None = None
    regex: str | None = None
    file: str | None = None
    column: str | None = None
    take: str = "last"
    direction: str | None = None

    @property
    def told(self) -> bool:
        """Whether it says what the metric is."""
        return any(source is not None for source in (self.name, self.regex, self.file))

    @property
    def label(self) -> str:
        """The metric in words: its name, column or pattern."""
        return self.name or self.column or self.regex or self.file or "the metric"

    @property
    def maximize(self) -> bool | None:
        """Whether the metric should rise, None if neither `direction` nor a name says so."""
        said = self.direction or next(filter(None, map(direction_of, filter(None, (self.name, self.column)))), None)
        return None if said is None else said == "maximize"

    def check(self) -> None:
        """Raise ConfigError, with a key such as task.metric.regex, for a setting that cannot be right."""
        require_choice(f"{KEY}.take", self.take, ("last", "best"))
        if self.direction is not None:
            require_choice(f"{KEY}.direction", self.direction, ("maximize", "minimize"))
        for key in ("name", "regex", "file", "column"):
            value = getattr(self, key)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise wrong(f"{KEY}.{key}", repr(value), "must be a text")
        self._check_sources()
        if self.regex is not None:
            _check_regex(self.regex)
        if self.take == "best" and self.told and self.maximize is None:
            raise wrong(f"{KEY}.direction", None, f"must be maximize or minimize, for {KEY}.take=best needs it")

    def _check_sources(self) -> None:
        if self.regex is not None and self.file is not None:
            raise wrong(
                f"{KEY}.file", self.file, "is a second source of the metric", remedy=f"remove it or {KEY}.regex"
            )
        if self.name == LAST and (self.regex is not None or self.file is not None):
            other = "regex" if self.regex is not None else "file"
            raise wrong(
                f"{KEY}.{other}",
                getattr(self, other),
                f"has no effect with {KEY}.name={LAST}",
                remedy="remove one of them",
            )
        if self.file is not None and self.name is None and self.column is None:
            raise wrong(f"{KEY}.file", self.file, "needs the name of a column", remedy=f"set {KEY}.column")
        if self.column is not None and self.file is None:
            raise wrong(f"{KEY}.column", self.column, f"has no effect without {KEY}.file", remedy=f"set {KEY}.file")


def _check_regex(regex: str) -> None:
    try:
        pattern = re.compile(regex)
    except (re.error, OverflowError, RecursionError) as error:
        raise wrong(f"{KEY}.regex", regex, f"is no regular expression ({error})") from error
    if "value" not in pattern.groupindex and pattern.groups != 1:
        problem = f"has {pattern.groups} groups and must have one, or one named value: (?P<value>…)"
        raise wrong(f"{KEY}.regex", regex, problem)
    if re.search(r"(?<!\\)[+*]\)[+*{]", regex):
        raise wrong(f"{KEY}.regex", regex, "repeats a group that ends in a repetition, which can take for ever")
