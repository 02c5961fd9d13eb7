"""From the keys of the sweeper and the app's own configuration to the settings of a search.

    hydra.sweeper.lr=optimizer.lr ──┐
    the app's configuration ────────┴→ Told, one a hyperparameter → python_plan → SweepSettings

Every error names the key to change, hydra.sweeper.… or the app's own.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from flatdirs.backend.search_plan import SearchPlan
from flatdirs.backend.trials import flatten
from flatdirs.errors import ConfigError
from flatdirs.objectives.command.known_flags import find_flags, optimizer_of
from flatdirs.objectives.command.metric_names import direction_of
from flatdirs.setting_checks import require_boolean, require_choice, require_integer, wrong
from flatdirs.space.chart_for import OPTIMIZERS, related
from flatdirs.space.further import Further
from flatdirs.space.names import canonical, enters_as_one_minus
from flatdirs.tuning.python_plan import python_plan

PREFIX = "hydra.sweeper."
KNOWN = ("lr", "wd", "momentum", "beta1", "beta2", "batch_size")
BATCHES = 5  # at least, if the size of a batch is not told: a search learns between batches only
PARTS = ("key", "low", "high", "scale", "choices")  # of a hyperparameter that is told as a mapping
ABSENT = object()


@dataclass(frozen=True)
class Told:
    """One hyperparameter as the sweeper is told of it. `setting`: where; `key`: the app's; `start`: its value there."""

    name: str
    setting: str
    key: str
    start: Any
    low: Any = None
    high: Any = None
    scale: Any = None
    choices: tuple[Any, ...] = ()

    @property
    def range(self) -> tuple[Any, ...] | None:
        """(low, high) or (low, high, scale); None without a range."""
        if self.low is None and self.high is None:
            return None
        return (self.low, self.high) if self.scale is None else (self.low, self.high, self.scale)

    def check(self) -> None:
        """Raise FlatdirsError, naming the setting, where start, range and choices do not fit."""
        if (self.low is None) != (self.high is None) or (self.scale is not None and self.low is None):
            raise wrong(
                self.setting, self.key, "needs both ends of a range, low and high", remedy=f"add them to {self.setting}"
            )
        Further(self.name, self.start, self.low, self.high, self.scale, choices=self.choices, key=self.setting)


@dataclass(frozen=True)
class SweepSettings:
    """The settings of a search through Hydra. `keys`: the app's key of each hyperparameter that is searched."""

    plan: SearchPlan
    keys: Mapping[str, str]
    maximize: bool
    budget: int
    n_jobs: int
    seed_key: str | None
    first_seed: int
    optimizer: str
    anyway: bool


def read_settings(keys: Mapping[str, Any], app: DictConfig, launcher: DictConfig | None) -> SweepSettings:
    """The settings of a sweep. `keys`: the sweeper's; `app`: the configuration of a job before anything is tuned.

    Raises FlatdirsError naming the key.
    """
    plain: Any = OmegaConf.to_container(app, resolve=False)
    leaves = flatten({key: value for key, value in plain.items() if key != "hydra"})
    told = _told(keys, app, leaves)
    require_integer(f"{PREFIX}budget", keys["budget"], 1)
    require_boolean(f"{PREFIX}anyway", keys["anyway"])
    if keys["deterministic"] is not None:
        require_boolean(f"{PREFIX}deterministic", keys["deterministic"])
    optimizer = _optimizer(keys["optimizer"], told, leaves, app)
    plan = _plan(keys, told, optimizer)
    searched = (*plan.grid.chart.free, *plan.grid.chart.open_choices)
    return SweepSettings(
        plan=plan,
        keys={one.name: one.key for one in told if one.name in searched},
        maximize=_direction(keys["direction"], app) == "maximize",
        budget=keys["budget"],
        n_jobs=_n_jobs(keys["n_jobs"], launcher, keys["budget"]),
        seed_key=keys["seed"],
        first_seed=_first_seed(keys["seed"], app, leaves),
        optimizer=optimizer,
        anyway=keys["anyway"],
    )


def _told(keys: Mapping[str, Any], app: DictConfig, leaves: Mapping[str, Any]) -> list[Told]:
    """All hyperparameters that the sweeper is told of, each with its start."""
    given = {f"{PREFIX}{name}": (name, keys[name]) for name in KNOWN if keys[name] is not None}
    further = keys["params"] or {}
    given |= {f"{PREFIX}params.{name}": (canonical(str(name)), text) for name, text in further.items()}
    if not given:
        raise ConfigError(_nothing_told(leaves), key=f"{PREFIX}lr")
    found: dict[str, Told] = {}
    for setting, (name, text) in given.items():
        one = _read(setting, name, text, app, leaves)
        if name in found:
            raise wrong(setting, one.key, f"tells of {name} again, as {found[name].setting} does", remedy="remove one")
        if same := [other.setting for other in found.values() if other.key == one.key]:
            raise wrong(setting, one.key, f"is the key of {same[0]} already")
        found[name] = one
    return list(found.values())


def _nothing_told(leaves: Mapping[str, Any]) -> str:
    """What to write where no hyperparameter is told of: the keys of the app that have well-known names."""
    words = [f"{key}={value}" for key, value in leaves.items() if not isinstance(value, (list, str))]
    flags = {flag.name: flag.flag for flag in reversed(find_flags(words))}
    usual = {name: flags[name] for name in KNOWN[:3] if name in flags} if "lr" in flags else {"lr": "optimizer.lr"}
    example = " ".join(f"{PREFIX}{name}={key}" for name, key in usual.items())
    return f"there is no hyperparameter to tune; name the app's key of each, as in {example}"


def _read(setting: str, name: str, text: Any, app: DictConfig, leaves: Mapping[str, Any]) -> Told:
    """One hyperparameter from key, key:low:high, key:low:high:scale, key:a|b|c or a mapping."""
    if isinstance(text, str):
        parts = _split(setting, text)
    elif isinstance(text, (dict, DictConfig)):
        parts = {str(part): value for part, value in text.items()}
        if unknown := [part for part in parts if part not in PARTS]:
            raise wrong(f"{setting}.{unknown[0]}", parts[unknown[0]], f"is none of {', '.join(PARTS)}")
    else:
        raise wrong(setting, text, "must name a key of the app, such as optimizer.lr")
    key = parts.pop("key", None)
    if not isinstance(key, str):
        raise wrong(setting, text, "names no key of the app", remedy=f"set {setting}.key")
    start = _start(setting, key, app, leaves)
    choices = tuple(parts.pop("choices", None) or ())
    if not choices and (isinstance(start, bool) or not isinstance(start, (int, float))):
        shown = "a group" if OmegaConf.is_config(start) else start
        problem = f"is {shown} in the app's configuration, where a number to start from is needed"
        raise wrong(setting, key, problem, remedy=f"set {key} to one")
    return Told(name, setting, key, start, choices=choices, **parts)


def _split(setting: str, text: str) -> dict[str, Any]:
    """The parts of key:low:high:scale or key:a|b|c."""
    key, *rest = text.split(":")
    if len(rest) == 1 and "|" in rest[0]:
        return {"key": key, "choices": [_typed(choice) for choice in rest[0].split("|")]}
    if len(rest) not in (0, 2, 3):
        raise wrong(setting, text, "must be key, key:low:high, key:low:high:scale or key:a|b|c")
    ends = dict(zip(("low", "high"), map(_typed, rest[:2]), strict=False))
    if bad := [end for end in ends.values() if isinstance(end, bool) or not isinstance(end, (int, float))]:
        raise wrong(setting, text, f"has the end {bad[0]}, which is no number")
    return {"key": key, **ends, **({"scale": rest[2]} if rest[2:] else {})}


def _typed(text: str) -> Any:
    """A value as it would be read from the app's configuration."""
    return OmegaConf.create(f"- {text}")[0]


def _start(setting: str, key: str, app: DictConfig, leaves: Mapping[str, Any]) -> Any:
    """The value of a key in the app's configuration."""
    value = OmegaConf.select(app, key, default=ABSENT)
    if value is ABSENT or value is None:
        near = difflib.get_close_matches(key, leaves, 1, 0.5)
        problem = "has no value in the app's configuration" if key in leaves else "is no key of the app's configuration"
        remedy = f"set {key}" if key in leaves else f"did you mean {near[0]}?" if near else ""
        raise wrong(setting, key, problem, remedy=remedy)
    return value


def _optimizer(said: Any, told: Sequence[Told], leaves: Mapping[str, Any], app: DictConfig) -> str:
    """The optimizer: as told, else as named beside the learning rate, else anywhere in the app's configuration."""
    require_choice(f"{PREFIX}optimizer", said, ("auto", *OPTIMIZERS))
    if said != "auto":
        return str(said)
    groups = {one.key.rpartition(".")[0] for one in told if one.name == "lr" and "." in one.key}
    beside = [
        f"optimizer={value}"
        for key, value in leaves.items()
        if key.rpartition(".")[0] in groups and isinstance(value, str)
    ]
    choices = OmegaConf.select(app, "hydra.runtime.choices") or {}
    chosen = [f"{group}={choice}" for group, choice in choices.items() if not group.startswith("hydra/")]
    everywhere = [f"{key}={value}" for key, value in leaves.items() if isinstance(value, str)]
    return optimizer_of(beside) or optimizer_of(chosen + everywhere) or "sgd"


def _plan(keys: Mapping[str, Any], told: Sequence[Told], optimizer: str) -> SearchPlan:
    """The search: its chart, start and settings. Errors of a range name its setting."""
    known = related((one.name for one in told if not one.choices), optimizer)
    for one in told:
        if one.name in known and not (one.start > 0 or enters_as_one_minus(one.name)):
            remedy = f"set {one.key} to where it should start, or leave {one.setting} out"
            raise wrong(one.key, one.start, "must be above 0 to be tuned", remedy=remedy)
        one.check()
    return python_plan(
        {one.name: one.start for one in told},
        optimizer,
        keys["fixed"] or (),
        {one.name: one.range for one in told if one.range is not None},
        {one.name: one.choices for one in told if one.choices},
        keys["search"],
        deterministic=keys["deterministic"],
    ).plan


def _direction(said: Any, app: DictConfig) -> str:
    """maximize or minimize, as told or by the name of the app's optimized_metric."""
    if said is not None:
        require_choice(f"{PREFIX}direction", said, ("maximize", "minimize"))
        return str(said)
    metric = OmegaConf.select(app, "optimized_metric")
    if isinstance(metric, str) and (found := direction_of(metric)) is not None:
        return found
    raise ConfigError(
        f"what main returns may be a loss or an accuracy; set {PREFIX}direction=minimize or maximize",
        key=f"{PREFIX}direction",
    )


def _n_jobs(said: Any, launcher: DictConfig | None, budget: int) -> int:
    """Jobs per batch: as told, else what the launcher runs at once, a fifth of the budget at most."""
    if said is not None:
        require_integer(f"{PREFIX}n_jobs", said, 1)
        return int(said)
    node: Any = launcher or {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if str(node.get("_target_", "")).endswith(".BasicLauncher"):
        return 1
    limit = node.get("n_jobs", node.get("array_parallelism"))
    if not isinstance(limit, int):
        limit = cores
    elif limit < 0:
        limit += cores + 1
    return max(1, min(limit, budget // BATCHES))


def _first_seed(key: Any, app: DictConfig, leaves: Mapping[str, Any]) -> int:
    """The seed of the start: the app's own, 0 where that is null."""
    if key is None:
        return 0
    value = OmegaConf.select(app, key, default=ABSENT) if isinstance(key, str) else ABSENT
    if value is ABSENT and key not in leaves:
        raise wrong(f"{PREFIX}seed", key, "is no key of the app's configuration", remedy="name that of its seed")
    return value if isinstance(value, int) else 0
