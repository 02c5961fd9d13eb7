"""optimization_results.yaml and the last lines of a sweep: the best observed, the best expected, what to paste."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flatdirs.backend.study import Study
from flatdirs.backend.table_rows import Winner, winner
from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import PROVENANCE
from flatdirs.tuning.best_file import winner_value
from flatdirs.tuning.formatting import value_text
from hydra_plugins.flatdirs_sweeper._jobs import override

FILE = "optimization_results.yaml"


def write_results(folder: Path, study: Study, keys: Mapping[str, str], where: str) -> dict[str, Any]:
    """Write what the search has found so far, whole or not at all; returns it.

    `best_params` and `best_value` are the best observed, as Hydra's other sweepers have them, under the app's own keys.
    """
    found: dict[str, Any] = {"name": "flatdirs", "study": study.name, "storage": where, "runs": len(study.runs())}
    if (best := best_observed(study)) is not None:
        number, values, value = best
        found |= {"best_params": params(values, keys), "best_value": value, "best_job": number}
    if (held := winner(study)) is not None:
        found["best_expected"] = {
            "params": params(held.hyperparameters, keys),
            "mean": held.mean,
            "runs": held.runs,
            "jobs": jobs_of(study, held),
        }
    part = folder / f"{FILE}.{os.getpid()}.part"
    part.write_text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(part, folder / FILE)  # noqa: PTH105  (the atomic one)
    return found


def params(values: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Hyperparameters that are searched, under the app's keys."""
    return {key: values[name] for name, key in keys.items()}


def best_observed(study: Study) -> tuple[int, Mapping[str, Any], float] | None:
    """Job number, hyperparameters and value of the best run; None before a first one."""
    finished = [(trial, run) for trial, run in study.runs() if run.state == "finished"]
    if not finished:
        return None
    trial, run = max(finished, key=lambda pair: pair[1].value)
    value = run.value if study.maximize else -run.value
    return trial.user_attrs[PROVENANCE]["job"], trial.user_attrs[SETTING]["hyperparameters"], value


def jobs_of(study: Study, held: Winner) -> list[int]:
    """The numbers of the jobs that ran at the best expected setting."""
    attributes = [trial.user_attrs for trial, run in study.runs() if run.state == "finished"]
    own = [one for one in attributes if one[SETTING]["hyperparameters"] == held.hyperparameters]
    return [one[PROVENANCE]["job"] for one in own]


def closing(study: Study, keys: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """What to say at the end. `arguments`: the overrides that every job had."""
    observed, held = best_observed(study), winner(study)
    if observed is None or held is None:
        return ["no job has given a value"]
    jobs = jobs_of(study, held)
    which = f"job {jobs[0]}" if len(jobs) == 1 else f"jobs {', '.join(map(str, jobs))}"
    lines = [f"best expected: {_words(held.hyperparameters, keys)}: {winner_value(held, '')} ({which})"]
    if observed[1] != held.hyperparameters:
        value = value_text(observed[2], "", held.digits)
        lines.append(f"best observed: {_words(observed[1], keys)}: {value} (job {observed[0]})")
    return [*lines, f"run the best expected again: {command([*arguments, *_overrides(held.hyperparameters, keys)])}"]


def command(overrides: Sequence[str]) -> str:
    """This app with these overrides, for a shell."""
    program = sys.argv[0]
    words = ["python", program] if program.endswith(".py") else [program]
    return shlex.join([*words, *overrides])


def _overrides(values: Mapping[str, Any], keys: Mapping[str, str]) -> list[str]:
    return [override(key, values[name]) for name, key in keys.items()]


def _words(values: Mapping[str, Any], keys: Mapping[str, str]) -> str:
    return " ".join(_overrides(values, keys))
