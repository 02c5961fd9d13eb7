"""`flatdirs ask`: hand out the next run of a study; `flatdirs tell` stores its value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flatdirs.cli import run_command

if TYPE_CHECKING:
    from flatdirs.tuning.tuner import Asked, Best, Tuner


def run(settings: dict[str, Any], words: list[str]) -> int:
    """Print the settings of a run and why it is worth making, as lines or as one JSON object."""
    with open_tuner(settings) as tuner:
        asked, study = tuner.ask(), tuner.study.name
        best = best_so_far(tuner)
    if settings.get("json"):
        print(json.dumps({"study": study, **asdict(asked), **as_json(best)}, ensure_ascii=False))
    else:
        print("\n".join(_lines(study, asked, words)))
    return 0


@contextmanager
def open_tuner(settings: dict[str, Any]) -> Iterator[Tuner]:
    """The tuner of an existing study, made by tune or by `flatdirs.Tuner`; the storage is closed afterwards."""
    from flatdirs.backend.locate import existing_study
    from flatdirs.backend.study import resume_study
    from flatdirs.config.tune import read_storage
    from flatdirs.tuning.tuner import Tuner

    config, output = read_storage(settings["storage"]), Path(str(settings["output"]))
    place = (config.kind, config.url, output, settings["study"])
    with existing_study(*place, slices=False, reading=False) as (storage, name):
        yield Tuner.of(resume_study(storage, name, 60 * config.stale_minutes))


def best_so_far(tuner: Tuner) -> dict[str, Best | None]:
    """The best run by its value and the best setting by all runs; None before any value."""
    return {"best observed": tuner.best_observed, "best expected": tuner.best_expected}


def as_json(best: Mapping[str, Best | None]) -> dict[str, Any]:
    """The same as plain mappings."""
    return {label.replace(" ", "_"): None if one is None else asdict(one) for label, one in best.items()}


def _lines(study: str, asked: Asked, words: list[str]) -> list[str]:
    """What to run, why, and the command that stores its value. `words`: those of this command."""
    from flatdirs.tuning.commands import shell
    from flatdirs.tuning.formatting import assignments, value_text

    lines = [
        f"run {asked.run} of study {study}: {assignments(asked.settings)} seed={asked.seed}",
        f"why: {asked.reason}",
    ]
    if asked.expected is not None and asked.interval is not None:
        low, high = (value_text(end, "") for end in asked.interval)
        lines.append(f"expected: {value_text(asked.expected, '')} (90 % {low} to {high}, seed noise left out)")
    place = [word for word in words if not word.startswith("study=")]
    return [*lines, f"then: {shell('tell', [study, str(asked.run), 'VALUE', *place])}"]


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("ask", run, arguments)
