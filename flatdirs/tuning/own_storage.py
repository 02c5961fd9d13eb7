"""The storage of a command's own study before its search is opened: what an earlier command of it has left there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flatdirs.backend.storages import close_storage, open_storage, storage_errors
from flatdirs.backend.study import stored_identity
from flatdirs.backend.trials import study_folder
from flatdirs.tuning.settings import TuneConfig

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def may_be_stored(config: TuneConfig) -> bool:
    """Whether an earlier command may have stored something of this study."""
    kind = config.storage.kind
    return kind == "url" or (kind != "memory" and study_folder(config.output.absolute(), config.study).is_dir())


@contextmanager
def own_storage(config: TuneConfig) -> Iterator[BaseStorage]:
    """The storage, made where there is none, and closed afterwards."""
    folder = study_folder(config.output.absolute(), config.study)
    storage = open_storage(config.storage.kind, folder, config.storage.url)
    try:
        with storage_errors():
            yield storage
    finally:
        close_storage(storage)


def own_identity(config: TuneConfig) -> dict[str, Any]:
    """What the study was made with; empty where it has not begun."""
    if not may_be_stored(config):
        return {}
    with own_storage(config) as storage:
        return stored_identity(storage, config.study)
