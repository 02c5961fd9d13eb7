"""The one place that uses Optuna's private names. Each is checked when this module is imported.

flatdirs reads all trials through the storage, for a sampler under HyperbandPruner is handed a filtered study, and
writes into trials that Optuna hands out frozen. Optuna has no public way to either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.storages.journal import JournalFileSymlinkLock
from optuna.storages.journal._storage import JournalOperation
from optuna.study._optimize import _run_trial
from optuna.trial import FrozenTrial

from flatdirs.errors import FlatdirsError

if TYPE_CHECKING:
    from optuna.study import Study

FIXED = "fixed_params"  # the system attribute with what an enqueued trial was given


def _check(function: Callable[..., Any], *names: str) -> None:
    """Raise FlatdirsError where a function of Optuna no longer uses these names."""
    code = function.__code__
    if missing := set(names) - {*code.co_names, *code.co_varnames, *code.co_consts}:
        raise FlatdirsError(
            f"Optuna {optuna.__version__} has no {', '.join(sorted(missing))} in {function.__qualname__}, which "
            f"flatdirs needs; install optuna>=5,<6",
            key="optuna",
        )


_check(optuna.Study.__init__, "_storage", "_study_id")
_check(optuna.Trial.__init__, "_trial_id")
_check(FrozenTrial.__init__, "_trial_id")
_check(optuna.Study._is_multi_objective, "directions")
_check(optuna.Study.enqueue_trial, FIXED)
_check(BaseSampler._raise_error_if_multi_objective, "_is_multi_objective")
_check(JournalFileSymlinkLock.__init__, "_lock_file", "_lock_target_file")
_check(_run_trial, "func_err", "catch")
_check(JournalStorage.set_trial_intermediate_value, "_thread_lock", "_sync_with_backend", "_write_log")
_check(JournalStorage._write_log, "append_logs", "op_code", "worker_id")
_check(RDBStorage.set_trial_intermediate_value, "scoped_session")
_check(
    RDBStorage._set_trial_intermediate_value_without_commit,
    "find_or_raise_by_id", "check_trial_is_updatable", "intermediate_value_to_stored_repr", "intermediate_value_type",
)  # fmt: skip
_check(_CachedStorage.set_trial_intermediate_value, "_backend")


def storage_of(study: Study) -> BaseStorage:
    """The storage of a study."""
    return study._storage


def study_id(study: Study) -> int:
    """The number of a study in its storage."""
    return study._study_id


def trial_id(trial: FrozenTrial | optuna.Trial) -> int:
    """The number of a trial in its storage."""
    return trial._trial_id


def all_trials(study: Study) -> list[FrozenTrial]:
    """All trials, oldest first, as stored now; they must not be changed."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def stored_trial(study: Study, number: int) -> FrozenTrial:
    """One trial as stored now, by its number in the storage."""
    return study._storage.get_trial(number)


def set_system_attribute(study: Study, trial: FrozenTrial | optuna.Trial, key: str, value: Any) -> None:
    """Write a system attribute of a trial."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def system_attributes(study: Study, trial: FrozenTrial | optuna.Trial) -> Mapping[str, Any]:
    """The system attributes of a trial as stored now."""
    return study._storage.get_trial_system_attrs(trial._trial_id)


def set_user_attribute(study: Study, trial: FrozenTrial | optuna.Trial, key: str, value: Any) -> None:
    """Write a user attribute of a trial, of one that a sampler was handed where the objective will see it too."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)
    trial.user_attrs[key] = value  # the objective sees the trial as it was before this write


def write_reports(study: Study, trial: optuna.Trial, values: Mapping[int, float]) -> None:
    """Write intermediate values, step → value, at once: one write to a journal, one transaction of a database.

    Optuna's own way is one for each value. Raises UpdateFinishedTrialError for a trial that has ended.
    """
    storage, number = study._storage, trial._trial_id
    storage = storage._backend if isinstance(storage, _CachedStorage) else storage
    if isinstance(storage, JournalStorage):
        with storage._thread_lock:
            about = {"op_code": int(JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE), "trial_id": number}
            worker = {"worker_id": storage._replay_result.worker_id}
            storage._backend.append_logs(
                [{**about, **worker, "step": step, "intermediate_value": value} for step, value in values.items()]
            )
            storage._sync_with_backend()
    elif isinstance(storage, RDBStorage):
        kind: Any = TrialIntermediateValueModel  # SQLAlchemy's columns have no types
        owner: Any = TrialModel
        with _create_scoped_session(storage.scoped_session, True) as session:
            storage.check_trial_is_updatable(number, owner.find_or_raise_by_id(number, session).state)
            stored = session.query(kind).filter(kind.trial_id == number, kind.step.in_(values))
            known = {one.step: one for one in stored}
            for step, value in values.items():
                told, form = kind.intermediate_value_to_stored_repr(value)
                row = known.get(step) or kind(trial_id=number, step=step)
                row.intermediate_value, row.intermediate_value_type = told, form
                session.add(row)
    else:
        for step, value in values.items():
            storage.set_trial_intermediate_value(number, step, value)


def study_attributes(study: Study) -> Mapping[str, Any]:
    """The user attributes of a study as stored now, of the whole study where a pruner shows a part of it."""
    return study._storage.get_study_user_attrs(study._study_id)


def set_study_attribute(study: Study, key: str, value: Any) -> None:
    """Write a user attribute of a study, or of the whole study where a pruner shows a part of it."""
    study._storage.set_study_user_attr(study._study_id, key, value)


def fixed_parameters(trial: FrozenTrial) -> Mapping[str, Any]:
    """The parameters that an enqueued trial was given."""
    found: Mapping[str, Any] = trial.system_attrs.get(FIXED, {})
    return found


def refuse_several_objectives(sampler: BaseSampler, study: Study) -> None:
    """Raise ValueError, in Optuna's own words, where a study has several objectives."""
    sampler._raise_error_if_multi_objective(study)


def has_several_objectives(study: Study) -> bool:
    """Whether a study has several objectives."""
    return study._is_multi_objective()


def lock_files(lock: JournalFileSymlinkLock) -> tuple[str, str]:
    """The lock file of a journal and the file it links to."""
    return lock._lock_file, lock._lock_target_file


def an_exception_ends_the_study() -> bool:
    """Whether the trial that is being closed raised an exception that `study.optimize` does not catch.

    A stored trial cannot tell that from one that `catch` let pass; the frame of Optuna's own loop can.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _run_trial.__code__:
        frame = frame.f_back
    seen = {} if frame is None else frame.f_locals
    return seen.get("func_err") is not None and not isinstance(seen["func_err"], seen.get("catch", ()))
