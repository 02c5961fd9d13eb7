"""A sweep: ask the study for a batch of settings, run it through the launcher, keep the results, until the budget ends.

The same command goes on where an earlier one ended: study, budget and job numbers continue. A first job that fails
ends the sweep with its error; a later one is tried once more and then counts as diverged, but at the settings of the
incumbent it ends the sweep, for these did work before.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from flatdirs.backend.liveness import STALE_SECONDS
from flatdirs.backend.search_plan import plan_identity
from flatdirs.backend.storages import close_storage, make_folder, open_at, open_storage, storage_at, storage_errors
from flatdirs.backend.study import Study, open_study
from flatdirs.backend.table_rows import winner
from flatdirs.backend.trial_runs import REASON
from flatdirs.backend.trials import flatten
from flatdirs.errors import ObjectiveError, masked
from flatdirs.setting_checks import wrong
from flatdirs.tuning.code_changes import check_code
from flatdirs.tuning.failures import searches_a_size
from flatdirs.tuning.formatting import value_text
from flatdirs.tuning.workers import refuse_torchrun
from hydra_plugins.flatdirs_sweeper._jobs import Answer, Job, ended_launcher, launch, override
from hydra_plugins.flatdirs_sweeper._results import closing, command, write_results
from hydra_plugins.flatdirs_sweeper._settings import PREFIX, SweepSettings, read_settings

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from hydra_plugins.flatdirs_sweeper.sweeper import FlatdirsSweeper

JOBS = "flatdirs:jobs"  # the numbers of the jobs that a trial was given
TIME = "${now:"
PHRASES = {  # in flatdirs' errors → in Hydra's words
    r"\bstorage\.url\b": f"{PREFIX}storage",
    r"\b(change|or) (study|storage|search|fixed|deterministic)\b": rf"\1 {PREFIX}\2",
    r"\bset anyway=": f"set {PREFIX}anyway=",
    r"(?<![\w.])(fixed(?= leaves|=|$)|(search|deterministic)(?==))": rf"{PREFIX}\1",
    r"\bchange output\b": "change hydra.sweep.dir",
    r"\bmade with task\.keys\.": f"made with {PREFIX}",
    r"\bmade with task\.": "made with ",
}
log = logging.getLogger("flatdirs")


class JobError(ObjectiveError):
    """A job's failure that ends the sweep. `__cause__`: what the job raised, if it did."""


@dataclass(frozen=True)
class Search:
    """An open sweep and what every batch of it needs. `arguments`: overrides that every job has; `where`: the study."""

    sweeper: FlatdirsSweeper
    settings: SweepSettings
    study: Study
    arguments: tuple[str, ...]
    folder: Path
    where: str


def sweep(sweeper: FlatdirsSweeper, arguments: Sequence[str]) -> dict[str, Any]:
    """Run the search, or go on with it; returns what is in optimization_results.yaml. Raises FlatdirsError."""
    config, context = sweeper.config, sweeper.hydra_context
    assert config is not None
    assert context is not None
    refuse_torchrun(os.environ)
    parsed = OverridesParser.create(config_loader=context.config_loader).parse_overrides(list(arguments))
    for one in parsed:
        if one.is_sweep_override():
            key, _, values = str(one.input_line).partition("=")
            remedy = f"give it one, or have it searched, as in {PREFIX}params.NAME={key}:LOW:HIGH"
            raise wrong(key, values, "has several values, where the sweeper takes one", remedy=remedy)
    app = context.config_loader.load_sweep_config(config, list(arguments))
    settings = read_settings(sweeper.keys, app, config.hydra.launcher)
    name = str(sweeper.keys["study"] or config.hydra.job.name)
    folder = Path(str(config.hydra.sweep.dir)).absolute()  # jobs may change the working directory
    make_folder(folder)
    OmegaConf.save(config, folder / "multirun.yaml")
    with _opened(sweeper.keys["storage"], config, name) as (storage, where), storage_errors():
        identity = _identity(settings, config, arguments)
        study = open_study(storage, name, settings.plan, identity, settings.maximize)
        check_code(study, _code(sweeper, app, settings), log.warning, settings.anyway)
        study.tidy()
        study.limit(settings.budget)
        return _run(Search(sweeper, settings, study, tuple(arguments), folder, where))


def in_hydras_words(sentence: str) -> str:
    """A sentence of flatdirs with the names of the settings as a user of the sweeper types them."""
    for before, after in PHRASES.items():
        sentence = re.sub(before, after, sentence)
    return sentence


@contextmanager
def _opened(told: Any, config: DictConfig, name: str) -> Iterator[tuple[BaseStorage, str]]:
    """The storage, closed afterwards, and where it is, in words."""
    if told is not None and not isinstance(told, str):
        raise wrong(f"{PREFIX}storage", told, "must be a file or a database's URL")
    if told is None:
        place = _folder_of_sweeps(config) / name
        storage, where = open_storage("journal", place.absolute()), str(place / "journal.log")
    else:
        address = told if "://" in told else Path(told).absolute()
        storage, where = open_at(storage_at(address, STALE_SECONDS / 60)), masked(told)
    try:
        yield storage, where
    finally:
        close_storage(storage)


def _folder_of_sweeps(config: DictConfig) -> Path:
    """hydra.sweep.dir as far as it holds no time, so that the same command finds the study again."""
    copy = config.copy()
    plain: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    before, time, _ = str(plain["dir"]).partition(TIME)
    with read_write(copy), open_dict(copy):
        copy.hydra.sweep.dir = before.rpartition("/")[0] or "." if time else before
    return Path(str(copy.hydra.sweep.dir))


def _identity(settings: SweepSettings, config: DictConfig, arguments: Sequence[str]) -> dict[str, Any]:
    """What must stay the same when a study goes on."""
    app = {"name": str(config.hydra.job.name), "unit": "", "keys": dict(settings.keys), "overrides": list(arguments)}
    direction = "maximize" if settings.maximize else "minimize"
    return {"task": app, **plan_identity(settings.plan), "direction": direction, "repeats": 1}


def _code(sweeper: FlatdirsSweeper, app: DictConfig, settings: SweepSettings) -> dict[str, str]:
    """Checksums of the app's script and of its configuration, without what is searched and what Hydra itself needs."""
    plain: Any = OmegaConf.to_container(app, resolve=False)
    searched = settings.keys.values()
    own = {key: value for key, value in flatten(plain).items() if not key.startswith("hydra.") and key not in searched}
    texts = {"the app's configuration": json.dumps(own, sort_keys=True, default=str).encode()}
    with suppress(TypeError, OSError):  # defined nowhere, as in a notebook
        file = inspect.getsourcefile(inspect.unwrap(sweeper.task_function)) if sweeper.task_function else None
        if file is not None:
            texts[Path(file).name] = Path(file).read_bytes()
    return {name: sha256(text).hexdigest()[:16] for name, text in texts.items()}


def _run(search: Search) -> dict[str, Any]:
    """Batches until the budget is used up."""
    study, settings = search.study, search.settings
    _introduce(search)
    while (left := settings.budget - len(study.runs()) - len(study.live())) > 0:
        trace = study.trace()
        if trace is not None and trace.over:
            log.info("the search is over: a full cycle of axes brought no gain")
            break
        _run_batch(search, min(left, settings.n_jobs))
        write_results(search.folder, study, settings.keys, search.where)
    for line in closing(study, settings.keys, search.arguments):
        log.info(line)
    return write_results(search.folder, study, settings.keys, search.where)


def _introduce(search: Search) -> None:
    """Say what is tuned, and how far an earlier sweep has come."""
    settings, done = search.settings, len(search.study.runs())
    chart, start = settings.plan.grid.chart, settings.plan.grid.start
    tuned = ", ".join(f"{name} from {override(key, start[name])}" for name, key in settings.keys.items())
    axes = " and ".join(axis.name for axis in chart.axes)
    log.info(f"tuned: {tuned}, along {axes} ({settings.optimizer}); {'maximize' if settings.maximize else 'minimize'}")
    log.info(f"study {search.study.name} in {search.where}: {done} of {settings.budget} runs are done")


def _run_batch(search: Search, size: int) -> None:
    """A batch from its suggestions to its stored results; on any other end its trials are closed without a result."""
    study = search.study
    jobs: list[Job] = []
    try:
        with ExitStack() as alive:
            while len(jobs) < size and not (jobs and study.should_wait()):
                jobs.append(_ask(search))
                alive.enter_context(study.alive(jobs[-1].trial))
            failed = _keep(search, jobs, _launched(search, jobs))
            if failed and not any(run.state == "finished" for _, run in study.runs()):
                raise _stopping("the first job", *failed[0])
            again = [job for job, answer in failed if not _counts(search, job, answer)]
            for job, answer in _keep(search, again, _launched(search, again) if again else []):
                best = winner(study)
                if best is not None and best.hyperparameters == job.hyperparameters:
                    raise _stopping("the incumbent's own settings", job, answer)
                if answer.out_of_memory:
                    raise _stopping("a second try", job, answer)
                _end(search, job, answer)
    except BaseException:
        with suppress(Exception):  # the first error is the one to show
            for job in jobs:
                study.interrupt(job.trial)  # those that have ended stay as they are
        raise


def _ask(search: Search) -> Job:
    study, settings = search.study, search.settings
    trial, hyperparameters = study.ask()
    seed = settings.first_seed + study.replicate_of(trial)
    study.begin(trial, hyperparameters, [seed])
    own = [override(key, hyperparameters[name]) for name, key in settings.keys.items()]
    seeds = [] if settings.seed_key is None else [override(settings.seed_key, seed)]
    log.info(f"run {study.run_number(trial)}: {' '.join(own)}: {trial.user_attrs.get(REASON, settings.plan.name)}")
    return Job(trial, hyperparameters, (*search.arguments, *seeds, *own))


def _launched(search: Search, jobs: Sequence[Job]) -> list[Answer]:
    """What each job of a batch gave. Where the launcher itself fails, its jobs run one by one, to find which it was."""
    number = _next_number(search)
    for place, job in enumerate(jobs, number):
        job.trial.set_user_attr(JOBS, [*job.trial.user_attrs.get(JOBS, []), place])
    found = launch(search.sweeper, jobs, number)
    if isinstance(found, list):
        return found
    if len(jobs) == 1:
        return [ended_launcher(found, number)]
    log.warning(f"the launcher ended with {type(found).__name__}: {found}; the jobs of this batch run one by one")
    return [answer for job in jobs for answer in _launched(search, [job])]


def _next_number(search: Search) -> int:
    """The number of the next job: above all in the study and all folders of this sweep."""
    used = [number for trial in search.study.trials() for number in trial.user_attrs.get(JOBS, [])]
    used += [int(path.name) for path in search.folder.iterdir() if path.name.isdecimal()]
    return max(used, default=-1) + 1


def _keep(search: Search, jobs: Sequence[Job], answers: Sequence[Answer]) -> list[tuple[Job, Answer]]:
    """Store the results of a batch; returns the jobs that failed."""
    failed = []
    for job, answer in zip(jobs, answers, strict=True):
        if answer.failure is None:
            _end(search, job, answer)
        else:
            log.warning(f"job {answer.number} {answer.failure}")
            failed.append((job, answer))
    return failed


def _counts(search: Search, job: Job, answer: Answer) -> bool:
    """Whether a failure counts at once: memory that ran out where the size of something is searched."""
    if not (answer.out_of_memory and searches_a_size(search.settings.plan.grid.chart)):
        return False
    _end(search, job, answer)
    return True


def _end(search: Search, job: Job, answer: Answer) -> None:
    measurement = answer.measurement()
    search.study.end(job.trial, measurement)
    value = measurement.state if measurement.value is None else value_text(measurement.value, "")
    log.info(f"job {answer.number}: {value}")


def _stopping(which: str, job: Job, answer: Answer) -> JobError:
    """The error of a failure that ends the sweep."""
    error = JobError(
        f"{which} {answer.failure}; mend it and give the same command again, as finished jobs are kept; "
        f"to see it alone: {command(job.overrides)}",
        key="hydra.sweeper",
    )
    error.__cause__ = answer.error
    return error
