"""Locate an existing study for the commands that go by its name: `status`, `analyze`, `ask` and `tell`.

A study is found by its name in the output folder, at `storage.url`, or as the one last written to. For those
that only read it, nothing is created, locked or repaired, so it may lie in a folder that cannot be written.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages import BaseStorage

from flatdirs.backend.storages import FILES, close_storage, open_journal, open_sqlite, open_storage, storage_errors
from flatdirs.backend.trials import IDENTITY, study_folder
from flatdirs.errors import StudyError

SHOWN = 12  # studies that a sentence names
SQLITE = "sqlite:///"
SQLITE_START = b"SQLite format 3"


@contextmanager
def existing_study(
    kind: str,
    url: str | None,
    output: Path,
    name: str | None,
    slices: bool = True,
    reading: bool = True,
    key: str = "study",
) -> Iterator[tuple[BaseStorage, str]]:
    """The storage of a study and the study's name, closed afterwards.

    `url` may also be the path of any journal or SQLite file; where it is given, `kind` and `output` do not matter.
    Without `name` it is the only study at `url`, or the one in `output` that was last written to, a slice only if
    `slices` allows it. `reading`: nothing is written. Raises StudyError; `key`: the setting that gave the name.
    """
    if url is None and kind == "memory":
        raise StudyError("storage=memory keeps no study to read; change storage", key="storage")
    if url is not None or kind == "url":
        storage = _at(url, reading)
    else:
        name = name or _latest(output, slices)
        storage = _in_folder(kind, output, name, reading, key)
    try:
        with storage_errors():
            yield storage, name or _only_study(storage)
    finally:
        close_storage(storage)


def _latest(output: Path, slices: bool) -> str:
    files = [path for name in FILES.values() for path in output.glob(f"*/{name}")]
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        if slices or not _is_slice(path):
            return path.parent.name
    found = "are only slices" if files else "is no study"
    raise StudyError(f"there {found} in {output}; change output, or set storage.url", key="output")


def _is_slice(file: Path) -> bool:
    with existing_study("url", str(file), file.parent, file.parent.name) as (storage, _):
        return any("slice" in study.user_attrs.get(IDENTITY, {}) for study in storage.get_all_studies())


def _in_folder(kind: str, output: Path, name: str, reading: bool, key: str) -> BaseStorage:
    """The journal or the SQLite file in the study's folder; where both lie there, the one of this kind."""
    folder = study_folder(output, name)
    kinds = [one for one, file in FILES.items() if (folder / file).is_file()]
    if not kinds:
        known = sorted({path.parent.name for file in FILES.values() for path in output.glob(f"*/{file}")})
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"change {key} or output"
        shown = ", ".join(known[:SHOWN]) + ", …" * (len(known) > SHOWN) if known else "none at all"
        raise StudyError(f"there is no study {name} in {output} ({shown}); {hint}", key=key)
    return open_storage(kind if kind in kinds else kinds[0], folder, reading=reading)


def _at(url: str | None, reading: bool) -> BaseStorage:
    """A database by its address, or a journal or SQLite file by its path."""
    if url is None or (not url.startswith(SQLITE) and "://" in url):
        return open_storage("url", Path(), url, reading=reading)
    path = Path(url.removeprefix(SQLITE).partition("?")[0] if url.startswith(SQLITE) else url)
    if not path.is_file():
        raise StudyError(f"there is no file {path}; change storage.url", key="storage.url")
    with path.open("rb") as file:
        is_sqlite = file.read(len(SQLITE_START)) == SQLITE_START
    return open_sqlite(path, reading) if is_sqlite else open_journal(path, reading)


def _only_study(storage: BaseStorage) -> str:
    names = sorted(study.study_name for study in storage.get_all_studies())
    if len(names) != 1:
        found = f"{len(names)} studies ({', '.join(names)})" if names else "no study"
        raise StudyError(f"storage.url holds {found}; set study to one", key="study")
    return names[0]
