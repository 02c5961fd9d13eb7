"""An earlier study for `prior`: where it is, its finished runs and what it handed over, for this command's setup.

Setups are known of our trainer: batch size, epochs, examples, width and optimizer. Where they differ, the setting of
each run is carried over by the rules of carrying/. Everything else is taken as it is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flatdirs.backend.locate import existing_study
from flatdirs.backend.study import Study, view_study
from flatdirs.backend.table_rows import winner
from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import IDENTITY
from flatdirs.carrying.carry import CarriedOver, carry_over
from flatdirs.carrying.setup import SETUP
from flatdirs.config.carry_over import rounded, setup_of
from flatdirs.config.tune import read_optimizer, read_schedule, read_task
from flatdirs.errors import ConfigError, StudyError
from flatdirs.objectives.image import ImageObjective
from flatdirs.setting_checks import wrong
from flatdirs.training.task import Task
from flatdirs.tuning.formatting import assignments
from flatdirs.tuning.settings import TuneConfig

Setting = dict[str, Any]
AS_THEY_ARE = "taken as they are"


@dataclass(frozen=True)
class Taken:
    """What is taken of the study `study`: hyperparameters of this search only, for this setup.

    `runs`: setting and value (higher is better) of each finished run. `handed_over`: its verdict, else its incumbent.
    `how`: by which rules, in words.
    """

    study: str
    runs: tuple[tuple[Setting, float], ...]
    handed_over: Setting
    how: str


def taken_from(config: TuneConfig) -> Taken:
    """What the study `config.prior` gives. Raises StudyError or ConfigError, key prior."""
    with _opened(config) as study:
        carry = _Carrier(config, _trainer(config, study.optuna_study.user_attrs[IDENTITY]))
        ended = [(trial, run.value) for trial, run in study.runs() if run.state == "finished"]
        told = [(trial.user_attrs[SETTING]["hyperparameters"], value) for trial, value in ended if math.isfinite(value)]
        best = winner(study)
        if not told or best is None:
            raise wrong("prior", config.prior, "has no finished run yet", StudyError)
        verdict = study.verdict()
        chosen = best.hyperparameters if verdict is None else verdict.hyperparameters
        (handed_over, rules), name = carry(chosen), study.name
    _require_common(config, chosen, handed_over)
    carried = [(carry(setting), value) for setting, value in told]
    how = _how([rules, *(own for (_, own), _ in carried)])
    return Taken(name, tuple((setting, value) for (setting, _), value in carried), handed_over, how)


@contextmanager
def _opened(config: TuneConfig) -> Iterator[Study]:
    """The earlier study, for reading: by its name where this one is kept, or by its folder or file."""
    prior, storage = str(config.prior), config.storage
    path = Path(prior)
    if os.sep in prior and path.is_file():
        place: tuple[str, str | None, Path, str | None] = ("url", prior, path.parent, None)
    elif os.sep in prior:
        place = ("journal", None, path.parent, path.name)
    elif storage.kind == "memory":
        place = ("journal", None, config.output, prior)
    else:
        place = (storage.kind, storage.url, config.output, prior)
    kind, url, output, name = place
    with existing_study(kind, url, output, name, key="prior") as (opened, known):
        yield view_study(opened, known, key="prior")


def _trainer(config: TuneConfig, identity: Mapping[str, Any]) -> ImageObjective | None:
    """The objective of the earlier study; None unless both train our networks, on images or on texts alike."""
    own = config.objective
    if not isinstance(own, ImageObjective) or "optimizer" not in identity:
        return None
    task = read_task(identity["task"])
    if not isinstance(task, Task) or type(task) is not type(own.task):
        return None
    data = replace(own.data, evaluate=identity["data"]["evaluate"])
    schedule, optimizer = read_schedule(identity["schedule"]), read_optimizer(identity["optimizer"])
    return ImageObjective(task, data, schedule=schedule, optimizer=optimizer)


@dataclass(frozen=True)
class _Carrier:
    """Carries settings of an earlier study over; `before`: its objective, None where the setups are not known."""

    config: TuneConfig
    before: ImageObjective | None

    def __call__(self, told: Mapping[str, Any]) -> tuple[Setting, CarriedOver | None]:
        """This search's part of a setting, and how it was carried over; None where nothing had to be.

        Raises ConfigError (prior) where no rule is known.
        """
        grid, own = self.config.plan.grid, self.config.objective
        names = (*grid.chart.hyperparameters, *grid.chart.choices)
        if self.before is None or not isinstance(own, ImageObjective):
            return {name: told[name] for name in names if name in told}, None
        old = self.before.config(told, 0)
        before, after = setup_of(old), setup_of(own.config(grid.start, 0))
        if "batch_size" in grid.chart.free:
            after["batch_size"] = before["batch_size"]
        setting, found = self._by_rules({name: told[name] for name in self.before.hyperparameters}, before, after)
        scales = old.optimizer.peak_rate(1.0, before["batch_size"]), own.optimizer.peak_rate(1.0, after["batch_size"])
        if "lr" in setting and scales[0] != scales[1]:
            setting["lr"] = rounded("lr", setting["lr"] * scales[0] / scales[1])
        setting["batch_size"] = after["batch_size"]
        return {name: setting[name] for name in names if name in setting}, found

    def _by_rules(
        self, setting: Setting, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> tuple[Setting, CarriedOver | None]:
        """A setting from one setup to another, rounded to what is run."""
        changed = {name: value for name, value in after.items() if value != before[name]}
        if not changed:
            return setting, None
        try:
            found = carry_over(setting, before, changed)
        except ConfigError as error:
            raise ConfigError(f"prior={self.config.prior} cannot be carried over: {error}", key="prior") from error
        return {name: rounded(name, value) for name, value in found.setting.items()}, found


def _require_common(config: TuneConfig, told: Mapping[str, Any], taken: Setting) -> None:
    """Raise ConfigError where the earlier study has nothing that is searched here."""
    chart = config.plan.grid.chart
    searched = [*chart.free, *chart.open_choices]
    if not set(searched) & set(taken):
        problem = f"has {', '.join(told)}, and none of {', '.join(searched)}, which are searched here"
        raise wrong("prior", config.prior, problem)


def _how(found: list[CarriedOver | None]) -> str:
    """By which rules settings were carried over, and to what, in words."""
    made = [one for one in found if one is not None]
    if not made:
        return AS_THEY_ARE
    rules = dict[str, dict[str, None]]()
    for rule in (rule for one in made for row in one.rows for rule in row.rules):
        rules.setdefault(rule.of, {})[rule.name] = None
    told = ", ".join(f"{name} by {' and '.join(own)}" for name, own in rules.items())
    to = {name: new for one in made for name in SETUP if (new := getattr(one.after, name)) != getattr(one.before, name)}
    return f"carried over to {assignments(to)} ({told})"
