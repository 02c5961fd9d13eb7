"""optimization_results.yaml and the last lines of a sweep: what was found, what is handed over, what to paste.

A sweep ends without a race, so what it hands over is unconfirmed, but for objectives without noise.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flatdirs.backend.study import Study
from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import PROVENANCE
from flatdirs.tuning.formatting import value_text
from flatdirs.tuning.tuner import Best, Tuner
from hydra_plugins.flatdirs_sweeper._jobs import override

FILE = "optimization_results.yaml"


def write_results(folder: Path, study: Study, keys: Mapping[str, str], where: str) -> dict[str, Any]:
    """Write what the search has found so far, whole or not at all; returns it.

    `best_params` and `best_value` are the best observed, as Hydra's other sweepers have them, under the app's own keys.
    """
    found: dict[str, Any] = {"name": "flatdirs"}
    tuner = Tuner.of(study, keys)
    if (observed := tuner.best_observed) is not None:
        found |= {
            "best_params": _searched(observed.settings, keys),
            "best_value": observed.value,
            "best_jobs": _jobs(study, observed),
        }
    if (expected := tuner.best_expected) is not None:
        found["best_expected"] = {
            "params": _searched(expected.settings, keys),
            "value": expected.value,
            "interval": None if expected.interval is None else list(expected.interval),
            "jobs": _jobs(study, expected),
        }
    if (verdict := tuner.verdict) is not None:
        found["handed_over"] = {
            "params": _searched(verdict.hyperparameters, keys),
            "confirmed": verdict.confirmed,
            "verdict": verdict.sentence,
        }
    found |= {"runs": len(study.runs()), "study": study.name, "storage": where}
    part = folder / f"{FILE}.{os.getpid()}.part"
    part.write_text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")
    os.replace(part, folder / FILE)  # noqa: PTH105  (the atomic one)
    return found


def closing(study: Study, keys: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """What to say at the end. `arguments`: the overrides that every job had."""
    tuner = Tuner.of(study, keys)
    observed, expected, verdict = tuner.best_observed, tuner.best_expected, tuner.verdict
    if observed is None or expected is None or verdict is None:
        return ["no job has given a value"]
    own = _overrides(verdict.hyperparameters, keys)
    return [
        f"best observed: {_shown(study, observed, keys)}",
        f"best expected: {_shown(study, expected, keys)}",
        f"handed over: the {verdict.handed_over}, {' '.join(own)}",
        verdict.sentence,
        f"run it again: {command([*arguments, *own])}",
    ]


def command(overrides: Sequence[str]) -> str:
    """This app with these overrides, for a shell."""
    program = sys.argv[0]
    words = ["python", program] if program.endswith(".py") else [program]
    return shlex.join([*words, *overrides])


def _searched(settings: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """What is searched, under the app's keys."""
    return {key: settings[key] for key in keys.values()}


def _jobs(study: Study, best: Best) -> list[int]:
    """The numbers of the jobs with a value at this setting."""
    runs = study.numbered_runs()
    place = next(trial.user_attrs[SETTING]["hyperparameters"] for number, trial, _ in runs if number == best.run)
    own = [t.user_attrs for _, t, run in runs if run.state == "finished"]
    return [one[PROVENANCE]["job"] for one in own if one[SETTING]["hyperparameters"] == place]


def _overrides(settings: Mapping[str, Any], keys: Mapping[str, str]) -> list[str]:
    return [override(key, value) for key, value in _searched(settings, keys).items()]


def _shown(study: Study, best: Best, keys: Mapping[str, str]) -> str:
    jobs = ", ".join(map(str, _jobs(study, best)))
    ends = (
        "" if best.interval is None else " (90 %: {} to {})".format(*(value_text(end, "", 4) for end in best.interval))
    )
    value = value_text(best.value, "", 4) + ends
    return f"{' '.join(_overrides(best.settings, keys))}: {value}, {'jobs' if ',' in jobs else 'job'} {jobs}"
