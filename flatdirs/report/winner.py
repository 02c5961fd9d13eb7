"""The winner as a file and as a line to type: a configuration for `train`, and a start for another search."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flatdirs.paths import conf_folder
from flatdirs.report.rows import Winner
from flatdirs.report.tables import overrides, value_text

if TYPE_CHECKING:
    from flatdirs.config import TuneConfig


def write_winner(path: Path, shown: Path, config: TuneConfig, found: Winner, settings: Mapping[str, Any]) -> None:
    """Write best.yaml whole or not at all, with the commands that use it (`shown`: as a user would type its path).

    `settings`: seed, task and data, as `train` reads them.
    """
    uses = "".join(f"# {command}\n" for command in next_commands(config, shown))
    head = (
        f"# The best of study {config.study}: run {found.run}, {value_text(found.value, config.objective.unit)}\n{uses}"
    )
    body = yaml.safe_dump({**found.hyperparameters, **settings}, sort_keys=False, allow_unicode=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(head + body, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105  (the atomic one)
    finally:
        part.unlink(missing_ok=True)


def next_commands(config: TuneConfig, path: Path) -> list[str]:
    """What to do with a winner's file: train with it, where the trainer is ours, and start another search from it."""
    file = shlex.quote(str(path))
    if function := getattr(config.task, "function", None):
        task = f"task=callable task.function={shlex.quote(function)}"
        return [f"python -m flatdirs.tune {task} start={file} study=another"]
    again = f"python -m flatdirs.tune task={config.task.name} start={file} study=another"
    return [f"python -m flatdirs.train --config-file {file}", again]


def train_overrides(config: TuneConfig, found: Winner) -> str | None:
    """What to type behind `flatdirs.train` for the winner's run: everything that differs from what train would do.

    None for a task that is not in conf/task under its own name; best.yaml works for those too.
    """
    file = conf_folder() / "task" / f"{config.task.name}.yaml"
    if not file.is_file():
        return None
    usual = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings = {f"task.{key}": value for key, value in asdict(config.task).items() if usual.get(key) != value}
    settings |= {f"data.{key}": value for key, value in asdict(config.data).items()}
    settings |= {key: getattr(config.objective, key) for key in ("precision", "threads", "compile")}
    usual = {"data.path": None, "data.download": False, "data.evaluate": "validation"}
    usual |= {"precision": "auto", "compile": False}
    changed = [f"{key}={_typed(value)}" for key, value in settings.items() if value != usual.get(key)]
    seed = [f"seed={config.plan.seed}"] if config.plan.seed else []
    line = [shlex.quote(word) for word in [*changed, *seed]]
    return " ".join([f"task={config.task.name}", overrides(found.hyperparameters), *line])


def _typed(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
