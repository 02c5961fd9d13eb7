"""The settings of a `tune` command as frozen dataclasses, and what of them identifies a study.

config/ builds them; the loop, the reports and the printed commands read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flatdirs.backend.pruner_settings import NoPruning, Pruning
from flatdirs.backend.search_plan import SearchPlan, plan_identity
from flatdirs.backend.storages import StorageConfig
from flatdirs.objectives.evaluation import AnyObjective, AnyTask, evaluations_per_run
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.search.race import needed_pairs
from flatdirs.setting_checks import describe, wrong
from flatdirs.space.chart import Chart
from flatdirs.training.metrics import METRICS, Accuracy
from flatdirs.training.task import DataConfig, TextTask

KEPT = ("evaluate_every", "clip_gradient", "ema", "lora_rank", "lora_alpha")  # in the identity of a study if not None
UNTIL = ("budget", "converged")


@dataclass(frozen=True)
class Limits:
    """When a search ends; all of these may change when it is continued. `target` is in the unit of the objective.

    `confirm`: fresh seeds at most for each candidate in the race at the end; 0 for no race. Raises ConfigError where
    they are too few to replace the start. `until`: one of UNTIL; "converged" stops before the budget where less than
    half a run's noise is left to gain.
    """

    budget: int = 25
    target: float | None = None
    minutes: float | None = None
    confirm: int = 6
    until: str = "budget"

    def __post_init__(self) -> None:
        if 0 < self.confirm < (needed := needed_pairs(self.confirm)):
            problem = f"is too few: nothing replaces the start with fewer than {needed} fresh seeds"
            remedy = f"set confirm={needed} or more, or confirm=0 for the search's own best, unconfirmed"
            raise wrong("confirm", self.confirm, problem, remedy=remedy)


@dataclass(frozen=True)
class TuneConfig:
    """The settings of a `tune` command.

    `chart`: as configured; `plan` holds it with fixed hyperparameters and in the steps of its search. `open_start`:
    start values that are words, such as lr=auto; the plan has usual numbers in their place until
    `start.with_start` finds better ones. `live`: None shows the live table in a terminal only. `anyway`: go on in spite
    of a changed script or shared files. Of a command, `held`: its numbers that are not searched, and why; `direction`:
    as told, or as its metric has it, None where neither says. `auto_chart`: whether the chart follows the command, or
    the function's parameters. `prior`: the name or the path of an earlier study to begin from.
    """

    study: str
    output: Path
    storage: StorageConfig
    chart: Chart
    plan: SearchPlan
    objective: AnyObjective
    task: AnyTask
    data: DataConfig
    limits: Limits
    maximize: bool
    repeats: int
    pruning: Pruning
    live: bool | None
    workers: int
    open_start: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    anyway: bool = False
    direction: str | None = None
    auto_chart: bool = False
    prior: str | None = None

    @property
    def in_python(self) -> bool:
        """Whether a function was given that no command line can name."""
        return isinstance(self.objective, CallableObjective) and self.objective.given is not None

    @property
    def evaluations(self) -> int | None:
        """Evaluations of one run; None if only a run can tell."""
        return evaluations_per_run(self.objective, self.plan.grid.start)


def identity(config: TuneConfig, checksum: str = "") -> dict[str, Any]:
    """What must stay the same when a study is continued, under the keys of the command line.

    `checksum`: of images or text, if there are any. Metric, pruner and how often a run is evaluated stand there only
    where they are not the usual ones.
    """
    objective, data = config.objective, {"evaluate": config.data.evaluate}
    found = {
        **({} if config.prior is None else {"prior": config.prior}),  # first, as the start and the runs follow from it
        "task": asdict(config.task),
        **(objective.recipe() if isinstance(objective, ImageObjective) else {}),
        "data": data | ({_checksum_key(config.task): checksum} if checksum else {}),
        **plan_identity(config.plan),
        "direction": "maximize" if config.maximize else "minimize",
        "repeats": config.repeats,
    }
    if config.pruning != NoPruning():
        found["pruner"] = describe(config.pruning)
    if isinstance(objective, ImageObjective):
        if objective.metric != Accuracy():
            found["metric"] = describe(objective.metric)
        keys = {key: getattr(objective, key) for key in KEPT}
        found |= {key: value for key, value in keys.items() if value is not None}
    return found


def _checksum_key(task: AnyTask) -> str:
    return f"path (checksum of its {'text' if isinstance(task, TextTask) else 'images'})"


def unit_of(stored: Mapping[str, Any]) -> str:
    """The unit of the values of a stored study, by its identity."""
    if "metric" in stored:
        return METRICS[stored["metric"]["name"]].unit
    unit: str = stored["task"].get("unit", "%")
    return unit
