"""Where a study is kept: a journal file (default), SQLite, memory, or a database by its URL.

In: the kind and a folder or URL. Out: Optuna's storage, which does the storing. Opened for reading, nothing is
created, locked or repaired. Errors of files and databases become StudyErrors that name the key to change.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from flatdirs.backend.journal_repair import JournalLock
from flatdirs.errors import StudyError
from flatdirs.setting_checks import wrong

FILES = {"journal": "journal.log", "sqlite": "study.db"}
JOIN_ATTEMPTS = 6  # looks at a database whose tables are being made by somebody else
JOURNAL_START = b'{"op_code":'


@dataclass(frozen=True)
class StorageConfig:
    """The group `storage`. `kind`: journal, sqlite, memory or url; `url` may hold a password, so print masked(url).

    `url` may also be the path of a journal file.
    """

    kind: str
    url: str | None = None
    stale_minutes: float = 30.0


def storage_at(address: str | os.PathLike[str] | None, stale_minutes: float) -> StorageConfig:
    """The storage at the path of a journal file, at a URL such as sqlite:///study.db, or in memory (None)."""
    if address is None:
        return StorageConfig("memory", None, stale_minutes)
    return StorageConfig("url", path_of("storage", address), stale_minutes)


def path_of(key: str, told: str | os.PathLike[str]) -> str:
    """A path, or an address, as text. Raises StudyError (key) for anything else."""
    if not isinstance(told, (str, os.PathLike)):
        raise wrong(key, repr(told), "must be a path", StudyError)
    return os.fspath(told)


def open_storage(kind: str, folder: Path, url: str | None = None, reading: bool = False) -> BaseStorage:
    """Open a storage: "journal" or "sqlite" in `folder`, "memory", or "url".

    `reading`: it exists already, and nothing is created, locked or repaired.
    Raises StudyError, naming the key to change, where the folder cannot be written or the file is no study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if kind == "url":
        return _open_url(url, reading)
    _refuse_other_storage(kind, folder)
    if kind == "memory":
        return InMemoryStorage()
    if not reading:
        make_folder(folder)
    file = folder / FILES[kind]
    return open_journal(file, reading) if kind == "journal" else open_sqlite(file, reading)


def open_at(config: StorageConfig) -> BaseStorage:
    """Open a storage that `storage_at` gave. Raises StudyError where it is out of reach."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return InMemoryStorage() if config.kind == "memory" else _open_url(config.url, reading=False)


def _refuse_other_storage(kind: str, folder: Path) -> None:
    """Raise StudyError where the folder keeps its study in another kind of file, which would be left behind."""
    for other, name in FILES.items():
        if other != kind and (folder / name).exists() and not (folder / FILES.get(kind, "")).is_file():
            raise StudyError(
                f"the study in {folder} is kept in {name}; use storage={other}, or change study", key="storage"
            )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn a database error while a study is in use into a StudyError."""
    import sqlalchemy.exc

    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = " ".join(str(getattr(cause, "orig", None) or cause).split())
        raise StudyError(
            f"cannot write to the study's database ({reason}); free space or mend it, then start the same search "
            f"again: everything up to the last finished run is kept",
            key="storage",
        ) from error


def close_storage(storage: BaseStorage) -> None:
    """Give a database's connections back."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def make_folder(folder: Path) -> None:
    """Create a folder and try to write in it. Raises StudyError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StudyError(f"cannot write in {folder} ({error.strerror}); change output", key="output") from error


def open_journal(path: Path, reading: bool = False) -> BaseStorage:
    """A journal file by its path, repaired unless for `reading`. Raises StudyError where it is none or out of reach."""
    try:
        _refuse_other_files(path)
        if reading:  # Optuna takes the lock to write only, and passes over a last line that is cut
            return JournalStorage(JournalFileBackend(str(path)))
        lock = JournalLock(str(path))
        lock.acquire()
        lock.release()
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except OSError as error:
        raise StudyError(f"cannot open {path} ({error.strerror}); change output or storage", key="output") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise StudyError(
            f"{path} is not a journal of a study ({error}); move it away or change study", key="study"
        ) from error


def _refuse_other_files(path: Path) -> None:
    """Raise ValueError for a file that is no journal, before anything mends it."""
    if path.exists():
        with path.open("rb") as file:
            start = file.read(len(JOURNAL_START))
        if not JOURNAL_START.startswith(start):
            raise ValueError("its first line is not one of Optuna's")


def open_sqlite(path: Path, reading: bool = False) -> BaseStorage:
    """An SQLite file by its path. Raises StudyError where it is none of Optuna's or out of reach."""
    _refuse_other_tables(path)
    return _open_rdb("sqlite:///study.db", f"{path} is not a study", "move it away or change study", reading, path)


def _sqlite_address(path: Path, mode: str) -> str:
    """The file as SQLite's own URI, in which the path may contain any character. `mode`: ro or rwc."""
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _refuse_other_tables(path: Path) -> None:
    """Raise StudyError for another program's SQLite file, before Optuna adds its tables to it."""
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(_sqlite_address(path, "ro"), uri=True)) as connection:
            names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error as error:
        raise StudyError(f"{path} is not a study ({error}); move it away or change study", key="study") from error
    if names and "studies" not in names:
        raise StudyError(f"{path} holds tables of another program; move it away or change study", key="study")


def _open_url(url: str | None, reading: bool) -> BaseStorage:
    if not url:
        raise StudyError(
            "storage=url needs an address; set storage.url=postgresql+psycopg://user:password@host/name",
            key="storage.url",
        )
    if "://" not in url:
        if not (folder := Path(url).absolute().parent).is_dir():
            raise StudyError(f"storage.url={url} lies in {folder}, which does not exist; create it", key="storage.url")
        return open_journal(Path(url), reading)
    return _open_rdb(url, "the database at storage.url cannot be opened", "change storage.url", reading)


def _create_or_join(url: str, engine: dict[str, Any]) -> RDBStorage:
    """Open a database whose tables another worker may be creating at this moment; then look again."""
    import sqlalchemy.exc

    for _ in range(JOIN_ATTEMPTS):
        try:
            return RDBStorage(url, engine_kwargs=engine)
        except (
            sqlalchemy.exc.IntegrityError,
            sqlalchemy.exc.ProgrammingError,
            sqlalchemy.exc.OperationalError,
        ) as error:
            if isinstance(error, sqlalchemy.exc.OperationalError) and "already exists" not in str(error):
                raise
            time.sleep(0.3)
    return RDBStorage(url, engine_kwargs=engine)


def _open_rdb(url: str, claim: str, remedy: str, reading: bool, file: Path | None = None) -> BaseStorage:
    """A database; `file`: its path, where it is an SQLite file."""
    import sqlalchemy.exc

    logging.getLogger("alembic").setLevel(logging.WARNING)
    url = url.replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template
    try:
        engine: dict[str, Any] = {"pool_pre_ping": True}
        if file is not None:  # the URL only names the dialect: SQLAlchemy's own would not take every path
            address = _sqlite_address(file, "ro" if reading else "rwc")
            engine = {"creator": partial(sqlite3.connect, address, uri=True, timeout=60, check_same_thread=False)}
        if reading:
            return RDBStorage(url, engine_kwargs=engine, skip_table_creation=True)
        return _create_or_join(url, engine)
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, ImportError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        if file is not None and isinstance(error, sqlalchemy.exc.OperationalError):
            raise StudyError(f"cannot open {file} ({reason}); free space or change output", key="output") from error
        raise StudyError(f"{claim} ({reason}); {remedy}", key=remedy.rsplit(maxsplit=1)[-1]) from error
