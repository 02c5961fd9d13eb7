"""ended.json in a run's folder: what was run, how it ended, and whether the study has counted it.

A run that ended well and was not counted (its metric had not been told, or flatdirs was killed) is taken from its
folder and not made again. What commands write into counted folders is removed as `run.keep` says.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flatdirs.objectives.command.run_folder import Keep, remove_files

ENDED = "ended.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """What is noted of the run in a folder, None where nothing is."""
    try:
        found = json.loads((folder / ENDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Note how a run ended. On a full disk nothing is noted: the run is made again if it cannot be counted."""
    with suppress(OSError):
        part = folder / f"{ENDED}.part"
        part.write_text(json.dumps(record), encoding="utf-8")
        part.replace(folder / ENDED)


def mark_counted(folder: Path) -> None:
    """Note that the study has the run: it is not taken from its folder again."""
    if (record := read_record(folder)) is not None:
        write_record(folder, {**record, "counted": True})


def kept_run(study_folder: Path, mark: Mapping[str, Any]) -> Path | None:
    """The folder of a run with this mark (command, values, seed, code) that ended well and was not counted."""
    for path in sorted((study_folder / "runs").glob("*/")):
        record = read_record(path)
        if record is None or record.get("counted") or record.get("code") != 0:
            continue
        if all(record.get(key) == value for key, value in mark.items()) and (path / "output.log").is_file():
            return path
    return None


def remove_written(study_folder: Path, keep: Keep, best: Collection[str]) -> None:
    """Remove what commands wrote into the folders of counted runs, but for `keep`. `best`: the folders' names."""
    if keep == "all":
        return
    for path in (study_folder / "runs").glob("*/"):
        record = read_record(path)
        if record is not None and record.get("counted"):
            remove_files(path, keep, is_best=path.name in best)
