"""The study that a command which only looks is to look at: found by its name, its storage, or as the last written to.

`status` and `analyze` share this. Nothing is made: a file or a study that is not there is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flatdirs.errors import StudyError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from flatdirs.backend.storages import StorageConfig

SQLITE = "sqlite:///"
SQLITE_START = b"SQLite format 3"


def latest_study(output: Path, config: StorageConfig) -> str:
    """The study last written to in the output folder. Raises StudyError where there is none."""
    from flatdirs.backend.storages import FILES

    files = [path for name in FILES.values() for path in output.glob(f"*/{name}")]
    if config.kind == "url" or not files:
        raise StudyError(f"there is no study in {output}; set study and storage, or change output")
    return max(files, key=lambda path: path.stat().st_mtime).parent.name


def open_existing(config: StorageConfig, output: Path, name: str) -> BaseStorage:
    """The storage of an existing study; a journal file or SQLite, whichever the study's folder holds."""
    from flatdirs.backend.storages import FILES, open_storage
    from flatdirs.backend.trials import study_folder

    folder = study_folder(output, name)
    kind = config.kind
    if kind == "journal" and not (folder / "journal.log").exists() and (folder / "study.db").exists():
        kind = "sqlite"
    file = FILES.get(kind)
    if file and not (folder / file).exists():
        raise StudyError(f"there is no study {name} in {output}; change study or output")
    return open_storage(kind, folder, config.url)


@contextmanager
def existing_study(config: StorageConfig, output: Path, name: str | None) -> Iterator[tuple[BaseStorage, str]]:
    """A storage and the name of a study in it, closed afterwards.

    `config.url` may also be the path of anybody's journal or SQLite file, and counts whatever the storage's kind is.
    A database with a single study needs no name. Raises StudyError.
    """
    from flatdirs.backend.storages import close_storage

    if config.url:
        storage = _open_address(config)
    else:
        name = name or latest_study(output, config)
        storage = open_existing(config, output, name)
    try:
        yield storage, name or _only_study(storage)
    finally:
        close_storage(storage)


def _open_address(config: StorageConfig) -> BaseStorage:
    """A database by its address, or a file by its path; never one that has to be made first."""
    from flatdirs.backend.storages import open_journal, open_storage

    address = str(config.url)
    path = Path(address.removeprefix(SQLITE).partition("?")[0])
    if address.startswith(SQLITE) or "://" not in address:
        if not path.is_file():
            raise StudyError(f"there is no file {path}; change storage.url")
        with path.open("rb") as file:
            sqlite = file.read(len(SQLITE_START)) == SQLITE_START
        if not sqlite and not address.startswith(SQLITE):
            return open_journal(path)
        address = address if address.startswith(SQLITE) else SQLITE + address
    return open_storage("url", path.parent, address)


def _only_study(storage: BaseStorage) -> str:
    names = sorted(study.study_name for study in storage.get_all_studies())
    if len(names) != 1:
        raise StudyError(f"storage.url holds {len(names)} studies ({', '.join(names) or 'none'}); set study to one")
    return names[0]
