"""Commands to paste into a shell: settings as the shortest overrides of conf/ that compose to them again.

    TuneConfig → the tree that Hydra composes → what differs from conf/ → overrides → `flatdirs tune …`

Groups are chosen first, then come the keys that differ. Every command that flatdirs prints or starts is made here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from flatdirs.errors import masked
from flatdirs.objectives.command.metric_names import direction_of
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.command.template import masked_words
from flatdirs.objectives.evaluation import AnyObjective
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.objectives.signature import arguments_of
from flatdirs.resources import PATHS, VERBATIM, conf_folder
from flatdirs.search import stored
from flatdirs.search.known import BayesSettings
from flatdirs.setting_checks import describe
from flatdirs.space.shipped_charts import describe_chart
from flatdirs.training.recipes import recipe
from flatdirs.training.run_config import FURTHER, TrainConfig
from flatdirs.training.task import batch_sizes
from flatdirs.tuning.formatting import hydra_text
from flatdirs.tuning.settings import TuneConfig

LORA = ("base", "lora_rank", "lora_alpha")  # these, and TRAINER: keys of tune and train
TRAINER = ("device", "precision", "threads", "compile", "evaluate_every", "clip_gradient", "ema", *LORA)
TRAIN = ("lr", "sigma", "momentum", "beta1", "wd", "batch_size", "seed", *FURTHER, *TRAINER)
SECRET = "*** stands for a secret: fill it in"
PASSWORD = "*** stands for the password: fill it in, or delete :*** and set PGPASSWORD (PostgreSQL)"


def tune_settings(config: TuneConfig) -> dict[str, Any]:
    """The tree of settings that is read as this configuration; what it leaves out has no effect."""
    plan, objective = config.plan, config.objective
    start = {**plan.grid.start, **config.open_start}
    if start.get("batch_size") == getattr(config.task, "batch_size", None):
        start.pop("batch_size", None)
    chart, own = describe_chart(config.chart), {} if plan.settings is None else stored(plan.settings)
    for name in ("deterministic", "earlier", "second"):  # which other keys tell
        own.pop(name, None)
    tree = {
        "task": asdict(config.task),
        "chart": {key: value for key, value in chart.items() if key not in ("fixed", "parts") or value not in ([], 1)},
        "start": start,
        "search": {"name": plan.name, **own},
        "pruner": describe(config.pruning),
        "storage": asdict(config.storage),
        "study": None if config.study == f"{config.task.name}-{plan.name}" else config.study,
        "output": str(config.output),
        **asdict(config.limits),
        "repeats": config.repeats,
        "seed": plan.seed,
        "direction": "auto" if config.maximize or isinstance(objective, ImageObjective) else "minimize",
        "deterministic": "auto",
        "fixed": sorted(
            (plan.grid.chart.fixed - config.chart.fixed) & {*chart["hyperparameters"], *config.chart.choices}
        ),
        "tune": None,
        "anyway": config.anyway,
        "prior": config.prior,
        "workers": config.workers,
        "live": "auto" if config.live is None else config.live,
        "data": asdict(config.data),
        "box": _box(config),
    }
    if config.auto_chart and isinstance(objective, CallableObjective):
        usual = _file("chart/sgd.yaml")
        told = {
            name: list(pair)
            for name, pair in config.chart.bounds.items()
            if name in usual["bounds"] or None not in pair
        }
        bounds = {**usual["bounds"], **told}
        tree["chart"] = {**usual, "step": config.chart.step, "bounds": bounds}
        tree["choices"] = {name: list(told) for name, told in config.chart.choices.items()}
        tree["start"] = {name: value for name, value in start.items() if name not in config.chart.choices}
    if isinstance(plan.settings, BayesSettings) and plan.settings.deterministic != _found_out(objective):
        tree["deterministic"] = plan.settings.deterministic
    if isinstance(objective, CommandObjective):
        searched = [*plan.grid.chart.free, *plan.grid.chart.choices]
        tree |= {
            "run": asdict(objective.settings),
            "threads": objective.threads,
            "direction": _told_direction(config, objective),
            "tune": None if set(searched) == set(objective.template.slots) else searched,
        }
    if isinstance(objective, ImageObjective):
        tree |= {**objective.recipe(), "metric": describe(objective.metric), "curvature": asdict(objective.curvature)}
        tree |= {key: getattr(objective, key) for key in TRAINER}
    return tree


def train_settings(config: TrainConfig) -> dict[str, Any]:
    """The tree of settings that `train` reads as this configuration."""
    return {
        "task": asdict(config.task),
        "schedule": describe(config.schedule),
        "optimizer": describe(config.optimizer),
        **{key: getattr(config, key) for key in TRAIN},
        "data": asdict(config.data),
        "curvature": asdict(config.curvature),
    }


def overrides(command: str, settings: Mapping[str, Any]) -> list[str]:
    """The shortest overrides of conf/<command>.yaml that compose to these settings, groups first; not shell-quoted."""
    groups, choices = _groups(command), dict[str, str]()
    for group, default in groups.items():
        if group in settings:
            choices[group] = _nearest(group, recipe(choices).get(group, default), settings[group])
    brought, keys = recipe(choices), list[str]()
    for group, choice in choices.items():
        own = {key.partition(".")[2]: value for key, value in brought.items() if key.startswith(f"{group}.")}
        keys += _changed({**_file(f"{group}/{choice}.yaml"), **own}, settings[group], f"{group}.")
    told = [f"{group}={choice}" for group, choice in choices.items() if choice != brought.get(group, groups[group])]
    usual = _file(f"{command}.yaml")
    usual = {**usual, **{key: value for key, value in brought.items() if key in usual}}
    return told + keys + list(_changed(usual, {k: v for k, v in settings.items() if k not in groups}))


def _groups(command: str) -> dict[str, str]:
    """The groups of a command with their default options."""
    entries = _file(f"{command}.yaml")["defaults"]
    return {name: choice for entry in entries if isinstance(entry, dict) for name, choice in entry.items()}


def tune_overrides(config: TuneConfig, start: Path | None = None) -> list[str]:
    """The overrides of `tune` that are read as this configuration. `start`: a file to take the start from instead.

    With a command, that is what follows the `--` at their end.
    """
    settings = tune_settings(config)
    if isinstance(config.objective, CommandObjective):
        return [*_command_overrides(config, config.objective, settings), "--", *config.objective.template.source]
    if start is not None:
        del settings["start"]
    words = [*overrides("tune", settings), *([] if start is None else [f"start={_typed(start)}"])]
    if config.auto_chart:
        return [word.lstrip("+") for word in words]
    chosen = isinstance(config.objective, ImageObjective) or any(word.startswith("chart=") for word in words)
    return words if chosen else [f"chart={_groups('tune')['chart']}", *words]


def _found_out(objective: AnyObjective) -> bool | None:
    """What deterministic=auto means for an objective: None for one that is given no seed."""
    return False if objective.takes_seed else None


def _told_direction(config: TuneConfig, objective: CommandObjective) -> str:
    """The direction of a command's metric where its name does not say it."""
    own = direction_of(objective.task.metric.label)
    return "auto" if config.direction in (None, own) else str(config.direction)


def _command_overrides(config: TuneConfig, objective: CommandObjective, settings: dict[str, Any]) -> list[str]:
    """The words before the command: its metric, how it is run, and what is searched where that was chosen."""
    task, chart = settings.pop("task"), settings.pop("chart")
    del settings["start"]
    usual = _file("task/command.yaml")
    own = {key: task[key] for key in ("metric", "unit")} | ({} if task["name"] == objective.template.name else task)
    own.pop("command", None)
    words = [word.replace("task.metric.name=", "metric=", 1) for word in _changed(usual, own, "task.")]
    if config.auto_chart:
        words += [override("chart.step", chart["step"])] if chart["step"] != 2 else []
    else:
        settings["chart"] = chart
    return words + overrides("tune", settings)


def helper_overrides(config: TuneConfig) -> list[str]:
    """The overrides of a further worker at the same search, which shows nothing."""
    objective = config.objective
    if isinstance(objective, CommandObjective) and objective.settings.workers is None:
        objective = replace(objective, settings=replace(objective.settings, workers=config.workers))
    return tune_overrides(replace(config, live=False, workers=1, objective=objective))


def shell(command: str, words: Sequence[str]) -> str:
    """`flatdirs <command> …` quoted for a shell; passwords and secrets are masked, and a comment says so."""
    own, tail = map(shlex.join, split_command(without_secrets(words)))
    note = f"  # {PASSWORD}" if "***" in own else f"  # {SECRET}" if "***" in tail else ""
    return f"flatdirs {command} {own} {tail}".rstrip() + note


def without_secrets(words: Sequence[str]) -> list[str]:
    """Words with passwords in URLs masked, and behind `--`, in a user's command, all that looks like a secret."""
    own, tail = split_command(words)
    return [*map(masked, own), *tail[:1], *masked_words(tail[1:])]


def command_line(objective: CommandObjective, values: Mapping[str, Any], seed: int, folder: Path = Path("best")) -> str:
    """The command with these values, ready for a shell; secrets masked. `folder`: the run's, named like the run."""
    special = {"seed": str(seed), "run": folder.name, "run_dir": str(folder), "port": "29500"}
    return shell_line(objective.template.command(values, special))


def shell_line(words: Sequence[str]) -> str:
    """The words of a user's command quoted for a shell; secrets masked."""
    return masked(shlex.join(masked_words(words)))


def python_call(objective: CallableObjective, values: Mapping[str, Any]) -> str:
    """The call of a user's function with these values: train(lr=0.1, wd=0.0005)."""
    given = arguments_of(objective.function, values, objective.names)
    name = getattr(objective.function, "__name__", "function")
    fixed = ["**kwargs"] if objective.kwargs else []
    return f"{name}({', '.join([*(f'{key}={value!r}' for key, value in given.items()), *fixed])})"


def train_command(config: TrainConfig) -> str:
    """The command of this training run."""
    return shell("train", overrides("train", train_settings(config)))


def train_from(file: Path) -> str:
    """The command that trains with the settings in a best.yaml."""
    return shell("train", ["--config-file", _typed(file)])


def search_from(config: TuneConfig, file: Path, values: Mapping[str, Any]) -> str:
    """The same search from the hyperparameters in a best.yaml, which are `values`, as the next study.

    A command has the values in its own words.
    """
    name, _, number = config.study.rpartition("-")
    following = f"{name}-{int(number) + 1}" if name and number.isdecimal() else f"{config.study}-2"
    following_config = replace(config, study=following)
    if isinstance(config.objective, CommandObjective):
        words, _ = split_command(tune_overrides(following_config))
        return shell("tune", [*words, "--", *config.objective.template.started(values)])
    return shell("tune", tune_overrides(following_config, file))


def split_command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words up to the first bare `--`, and from it on."""
    place = list(words).index("--") if "--" in words else len(words)
    return list(words[:place]), list(words[place:])


def wider_search(words: Sequence[str], box: Mapping[str, tuple[float, float]], study: str) -> str:
    """The command of these overrides with other ranges, log-uniform, as a study of its own."""
    replaced = ("study=", *(f"box.{name}=" for name in box))
    own, command = split_command(words)
    kept = [word for word in own if not word.startswith(replaced)]
    ranges = [f"box.{name}=[{low:.6g},{high:.6g}]" for name, (low, high) in box.items()]
    return shell("tune", [*kept, *ranges, f"study={study}-wider", *command])


def override(key: str, value: Any) -> str:
    """key=value for a command line, which takes the text of VERBATIM keys as it is and parses that of all others."""
    if value is None or key not in VERBATIM:
        return f"{key}={hydra_text(value)}"
    return f"{key}={_typed(value) if key in PATHS else value}"


def _typed(path: Any) -> str:
    """A path as it is typed: not one of the home folder, and no option."""
    return f"./{path}" if str(path).startswith(("~", "-")) else str(path)


def search_keys(name: str) -> list[str]:
    """The keys that a search reads: those of its file in conf/search/."""
    return [key for key in _file(f"search/{name}.yaml") if key != "name"]


def usual_box() -> Mapping[str, list[float]]:
    """The ranges of conf/tune.yaml."""
    box: Mapping[str, list[float]] = _file("tune.yaml")["box"]
    return box


def _box(config: TuneConfig) -> dict[str, list[float | str]]:
    """The ranges as configured; batch sizes that reading has cut to the training images as they were."""
    plan, batches = config.plan, batch_sizes(config.task)
    box: dict[str, list[float | str]] = {
        name: [*pair, *(["uniform"] if name in plan.uniform else [])] for name, pair in plan.box.items()
    }
    low, high = usual_box()["batch_size"]
    if batches is not None and box.get("batch_size") == [max(batches[0], low), min(batches[1], high)]:
        box["batch_size"] = [low, high]
    return box


@cache
def _file(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((conf_folder() / name).read_text(encoding="utf-8"))
    return found


def _nearest(group: str, default: str, settings: Mapping[str, Any]) -> str:
    """The option of a group with the name of these settings, else the one that takes fewest changes."""
    known = sorted((path.stem for path in (conf_folder() / group).glob("*.yaml")), key=lambda name: name != default)
    name = settings.get("name", settings.get("kind"))
    changes = {
        choice: list(_changed(_file(f"{group}/{choice}.yaml"), settings, f"{group}."))
        for choice in ([name] if name in known else known)
    }
    missing = {choice: len(set(_file(f"{group}/{choice}.yaml")) - set(settings)) for choice in changes}
    return min(changes, key=lambda choice: len(changes[choice]) + missing[choice] + (choice != default))


def _changed(usual: Mapping[str, Any], settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """An override for each key that differs; bounds that the settings do not have are taken out."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and isinstance(usual.get(key), Mapping):
            yield from _changed(usual[key], value, f"{prefix}{key}.")
        elif key not in usual:
            yield f"+{override(prefix + key, value)}"
        elif (list(value) if isinstance(value, tuple) else value) != usual[key]:
            yield override(prefix + key, value)
    if prefix == "chart.bounds.":
        yield from (f"~{prefix}{key}" for key in usual if key not in settings)
