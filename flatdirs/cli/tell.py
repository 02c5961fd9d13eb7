"""`flatdirs tell`: store the value of a run that `flatdirs ask` or `Tuner.ask` has handed out."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flatdirs.cli import run_command
from flatdirs.cli.ask import as_json, best_so_far, open_tuner


def run(settings: dict[str, Any], _: list[str]) -> int:
    """Store the value and say what is the best now."""
    from flatdirs.config.values import read_integer
    from flatdirs.errors import ConfigError
    from flatdirs.tuning.formatting import assignments, value_text

    for key in ("run", "value"):
        if settings[key] is None:
            raise ConfigError(f"{key} is missing; give it, as in flatdirs tell STUDY RUN VALUE", key=key)
    number = read_integer(settings, "run", 1)
    with open_tuner(settings) as tuner:
        tuner.tell(number, settings["value"])
        best, study = best_so_far(tuner), tuner.study.name
    if settings.get("json"):
        print(json.dumps({"study": study, "run": number, **as_json(best)}, ensure_ascii=False))
        return 0
    print(f"run {number} of study {study}: stored")
    for label, found in best.items():
        if found is not None:
            print(f"{label}: run {found.run}, {value_text(found.value, '')}, {assignments(found.settings)}")
    return 0


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("tell", run, arguments)
