"""Record whole runs, replay every pruner on them, make the sweeps that compare the metrics, confirm; draw the page.

    python -m benchmarks.edge_sweep                           all of it, in that order
    python -m benchmarks.edge_sweep only=record               or replay, sweeps, confirm, or page, which only draws

Resumable: what is on file is not made again. Give the command in as many shells as there are cores and they share the
work. `subject=transformer` or resnet, `device=cuda`, `budget=10` (runs that this process records, or trials that it
trains), `runs=200`, `repetitions=5`, `trials=40` and `orders=100` narrow it down or go further.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import pages
from benchmarks.arguments import settings_of
from benchmarks.edge_sweep import recording, setting
from benchmarks.edge_sweep.setting import HERE, SUBJECTS
from benchmarks.lattice.running import noted
from flatdirs.config.values import read_choice, read_integer
from flatdirs.errors import FlatdirsError

PARTS = ("record", "replay", "sweeps", "confirm", "page")
NUMBERS = {"runs": setting.RUNS, "repetitions": setting.REPETITIONS, "trials": setting.TRIALS, "orders": 100}
KEYS: dict[str, Any] = {"only": None, "subject": None, "device": "auto", "budget": None, **NUMBERS}


def main(arguments: list[str]) -> int:
    """The command line; the exit code."""
    try:
        make(read(arguments))
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    pages.write("edge_sweep")
    return 0


def read(arguments: list[str]) -> dict[str, Any]:
    """The keys given, over their defaults. Raises ConfigError."""
    settings = settings_of(arguments, KEYS)
    for key, choices in (("only", PARTS), ("subject", SUBJECTS)):
        if settings[key] is not None:
            read_choice(key, settings[key], choices)
    for key in NUMBERS if settings["budget"] is None else (*NUMBERS, "budget"):
        read_integer(settings, key, 1)
    return settings


def make(settings: dict[str, Any]) -> None:
    """What is asked for and not on file."""
    names = SUBJECTS if settings["subject"] is None else (settings["subject"],)
    parts = PARTS if settings["only"] is None else (settings["only"],)
    if {"record", "sweeps", "confirm"} & set(parts):
        import torch

        from benchmarks.edge_sweep.subjects import subject

        torch.set_num_threads(1)
        subjects = {name: subject(name, str(settings["device"])) for name in names}
    if "record" in parts:
        recording.record(HERE, subjects, settings["runs"], settings["budget"], say)
    if "replay" in parts:
        from benchmarks.edge_sweep import margins, replaying

        margins.replay_all(HERE, names, setting.SEARCHES)
        replaying.replay_all(HERE, names, settings["orders"], say)
    if {"sweeps", "confirm"} & set(parts):
        from benchmarks.edge_sweep import confirming, sweeping

        made = {name: noted(HERE, recording.about(found)) for name, found in subjects.items()}
        trains = {name: found.train for name, found in subjects.items()}
        limits = (settings["repetitions"], settings["trials"], settings["budget"])
        if "sweeps" in parts:
            sweeping.sweep_all(HERE, trains, made, *limits, say)
        if "confirm" in parts:
            confirming.confirm_all(HERE, trains, made, settings["budget"], say)


def say(line: str) -> None:
    """Print at once, also into a file."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
