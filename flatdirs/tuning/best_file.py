"""best.yaml: what is handed over, as a configuration for `train`, and as a start for another search."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from flatdirs.backend.study import Study
from flatdirs.backend.trials import study_folder
from flatdirs.backend.verdict import Verdict
from flatdirs.objectives.command.objective import CommandObjective
from flatdirs.objectives.function import CallableObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.recipes import recipe
from flatdirs.training.task import TextTask
from flatdirs.tuning.best_text import best_text, handed_over_text, prior_lines
from flatdirs.tuning.commands import command_line, python_call, search_from, train_from, train_settings
from flatdirs.tuning.settings import TuneConfig, identity


def write_best(folder: Path, config: TuneConfig, study: Study, verdict: Verdict) -> Path:
    """Write best.yaml into a study's folder, whole or not at all; returns its path as a user would type it.

    It holds what is handed over; its head says why, and what the search's own runs favour.
    """
    shown = study_folder(config.output, config.study) / "best.yaml"
    objective = config.objective
    if isinstance(objective, CallableObjective) and config.in_python:
        uses = [python_call(objective, verdict.hyperparameters)]
    else:
        trains = [train_from(shown)] if isinstance(objective, ImageObjective) else []
        uses = [*trains, search_from(config, shown, verdict.hyperparameters)]
    head = [
        f"study {config.study} hands over {handed_over_text(verdict)}",
        verdict.sentence,
        f"best by its own runs: {best_text(study, objective.unit)}",
        *prior_lines(identity(config)),
        *uses,
    ]
    text = "".join(f"# {line}\n" for line in head) + yaml.safe_dump(
        _settings(config, dict(verdict.hyperparameters)), sort_keys=False, allow_unicode=True
    )
    path = folder / shown.name
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105  (the atomic one)
    finally:
        part.unlink(missing_ok=True)
    return shown


def _settings(config: TuneConfig, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters first, then all that `train` reads; for a function its task and seed."""
    objective = config.objective
    if isinstance(objective, CommandObjective):
        return {
            **hyperparameters,
            "seed": config.plan.seed,
            "command": command_line(objective, hyperparameters, config.plan.seed),
        }
    if not isinstance(objective, ImageObjective):
        return {**hyperparameters, "seed": config.plan.seed, "task": asdict(config.task)}
    settings = train_settings(objective.config(hyperparameters, config.plan.seed))
    unused = {*hyperparameters, *([] if objective.curvature.every else ["curvature"])}
    kept = recipe({"task": "text"}) if isinstance(config.task, TextTask) else {}  # where a null says something
    return hyperparameters | {
        key: value for key, value in settings.items() if key not in unused and (value is not None or key in kept)
    }
