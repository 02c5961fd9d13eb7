"""The start's learning rate and weight decay where the settings hold words: they become numbers before the search.

    lr: step_sampling, auto → probes → the rate; wd: auto → the timescale rule → the decay

The finder answers with a constant rate, while a search tunes the highest rate of a schedule; between the two lies
PEAK_RATIO, measured on our own network under the triangle and used for every schedule that is not constant. What the
probes gave is kept with the study, so that the same command later goes on from the same start and probes nothing.
`auto` always ends in a start: where there is nothing to probe, or nothing was found, with what many scripts begin with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from flatdirs.backend.sampler import TYPICAL_ADAMW, TYPICAL_SGD
from flatdirs.backend.storages import close_storage, open_storage, storage_errors
from flatdirs.backend.study import keep_probes, stored_probes
from flatdirs.backend.trials import study_folder
from flatdirs.config.tune import TuneConfig, read_tune
from flatdirs.errors import ConfigError, FinderError
from flatdirs.objectives.image import ImageObjective
from flatdirs.report.tables import overrides
from flatdirs.training.records import ProbeConfig, TrainConfig
from flatdirs.training.schedule import Constant
from flatdirs.tuning.cdat_start import STEP_PRICE, STEPS, edge_run, from_rates

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from flatdirs.lr_finder.result import LearningRates

STEP_SAMPLING, AUTO, EDGE = "step_sampling", "auto", "cdat"
TITLES = {STEP_SAMPLING: "step sampling", AUTO: "start=auto", EDGE: "start=cdat"}
PEAK_RATIO = 1.8  # best peak of the triangle over the pick, for resnet_small in benchmarks/step_sampling/README.md

AUTO_MOMENTUM = 0.9  # momentum or beta1 of an automatic start
TIMESCALE = 1.0  # T·lr·wd/(1−momentum) of an automatic start (AdamW: T·lr·wd); benchmarks/runs_to_target says how much it matters
PROBED_DECAY = 5e-4  # weight decay of the probes, where none is given
MOST_DECAY = {"momentum": 0.02, "beta1": 1.0}  # the timescale rule asks for more in runs of a few steps
TYPICAL = {"momentum": TYPICAL_SGD, "beta1": TYPICAL_ADAMW}  # by the optimizer's momentum

Say = Callable[[str], None]


def automatic_start(
    pick: float, total_steps: int, momentum_name: str, constant: bool = False, timescale: float | None = None
) -> dict[str, float]:
    """Hyperparameters that a search may begin at when nobody has said anything.

    `pick`: what step sampling found, a constant rate at momentum 0.9; `total_steps`: T, the steps of a complete run;
    `momentum_name`: momentum (SGD) or beta1 (AdamW, whose invariant is lr·wd); `constant`: the schedule is, so that the
    rate is the pick itself; `timescale`: T·lr·wd/(1−momentum), None for TIMESCALE. Two digits each. Ours; the timescale rule is
    derived: runs in which the weights relax once to ten times.
    """
    rate = _two_digits((1.0 if constant else PEAK_RATIO) * pick)
    decay = _timescale_decay(rate, AUTO_MOMENTUM, total_steps, momentum_name, timescale)
    return {"lr": rate, momentum_name: AUTO_MOMENTUM, "wd": decay}


def _timescale_decay(
    rate: float, momentum: float, total_steps: int, momentum_name: str, timescale: float | None = None
) -> float:
    """wd with T·lr·wd/(1−momentum) = TIMESCALE, at most MOST_DECAY; for AdamW T·lr·wd."""
    averaging = 1.0 - momentum if momentum_name == "momentum" else 1.0
    return _two_digits(min(MOST_DECAY[momentum_name], (timescale or TIMESCALE) * averaging / (rate * total_steps)))


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def numeric_start(settings: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """The settings with numbers for a start.

    Raises:
        ConfigError: step_sampling, and the task has no model that could be probed, or the search begins nowhere.
        FinderError: step_sampling, and the curve has no answer; the sentence says what is wrong with it.
        StudyError: the study is there and began another way.
    """
    words = _words(settings["start"])
    if not words:
        return dict(settings)
    config = read_tune(_with_numbers(settings, TYPICAL["momentum"]))
    name = "beta1" if "beta1" in config.plan.grid.chart.hyperparameters else "momentum"
    typical = _with_numbers(settings, TYPICAL[name])
    if words.get("lr") in (STEP_SAMPLING, EDGE):
        _refuse_probing_for_nothing(config, words["lr"])
    if not config.plan.on_grid:  # such a search begins nowhere
        return typical
    if "lr" not in config.plan.grid.chart.hyperparameters:
        start = read_tune(typical).plan.grid.start
        say(f"start=auto: no learning rate is searched, so nothing is probed; the search begins at {overrides(start)}")
        return typical
    if not isinstance(config.objective, ImageObjective):
        start = read_tune(typical).plan.grid.start
        say(f"start=auto: task={config.task.name} has no model to probe; {_beginning(start)}")
        return typical
    config = read_tune(_with_numbers(settings, {**TYPICAL[name], "wd": PROBED_DECAY}))
    if "lr" in words:
        numbers = _probed_start(config, words, say)
        return _with_numbers(_with_warmup(settings, numbers.pop("warmup_epochs", None)), numbers)
    return _with_numbers(settings, {"wd": _decay_for(config, config.plan.grid.start["lr"])})


def _words(start: Mapping[str, Any]) -> dict[str, str]:
    """Those of a start's values that are no numbers yet."""
    known = {"lr": (STEP_SAMPLING, AUTO, EDGE), "wd": (AUTO,)}
    return {key: start[key] for key, words in known.items() if start.get(key) in words}


def _with_numbers(settings: Mapping[str, Any], numbers: Mapping[str, float]) -> dict[str, Any]:
    """The settings with numbers in the place of words; what the user gave stays."""
    words = _words(settings["start"])
    start = {**settings["start"], **{key: numbers[key] for key in words if key in numbers}}
    return {**settings, "start": start}


def _with_warmup(settings: Mapping[str, Any], epochs: float | None) -> dict[str, Any]:
    """The settings with this warm-up, where one was found and the schedule leaves its own open."""
    schedule = settings["schedule"]
    if epochs is None or schedule.get("warmup_epochs", 0.0) is not None:
        return dict(settings)
    return {**settings, "schedule": {**schedule, "warmup_epochs": epochs}}


def _beginning(start: Mapping[str, float]) -> str:
    return f"the search begins as many scripts do, at {overrides(start)}"


def _refuse_probing_for_nothing(config: TuneConfig, word: str) -> None:
    if not config.plan.on_grid:
        raise ConfigError(
            f"start.lr={word} would probe for nothing, as search={config.plan.name} begins "
            f"nowhere; set start.lr to a number"
        )
    if "lr" not in config.plan.grid.chart.hyperparameters:
        raise ConfigError(
            f"start.lr={word} would probe for nothing, as chart {config.plan.grid.chart.name} "
            f"has no learning rate; set start=auto"
        )
    if not isinstance(config.objective, ImageObjective):
        raise ConfigError(
            f"start.lr={word} needs a model, and task={config.task.name} has only a function; set "
            f"it to a number (in your script, flatdirs.find_learning_rate finds one)"
        )


def _training(config: TuneConfig) -> TrainConfig:
    """A run at the start, on our own trainer."""
    assert isinstance(config.objective, ImageObjective)
    return config.objective.config(config.plan.grid.start, config.plan.seed)


def _decay_for(config: TuneConfig, lr: float) -> float:
    """The weight decay that goes with a learning rate, at the start's momentum."""
    training = _training(config)
    rate = training.optimizer.peak_rate(lr, training.images_per_step)
    name = training.optimizer.momentum_name
    return _timescale_decay(rate, training.momentum_in_force, training.total_steps, name)


def _probed_start(config: TuneConfig, words: Mapping[str, str], say: Say) -> dict[str, float]:
    """Numbers for the words, from an earlier command's probes or from new ones, which are kept with the study."""
    word = words["lr"]
    title = TITLES[word]
    mark = sha256(json.dumps(config.identity, default=str, sort_keys=True).encode()).hexdigest()[:16]
    record = _stored(config, word, mark)
    early = record is not None
    if record is None:
        what = f"{STEPS} steps" if word == EDGE else f"{ProbeConfig.budget} probes of {ProbeConfig.steps} steps"
        say(f"{title}: {what} before the first run")
        found = _edge(config, words) if word == EDGE else _probe(config, words)
        record = _kept(config, word, {"mark": mark, **found})
    numbers = {"lr": float(record["start"])}
    if "wd" in words:
        numbers["wd"] = record.get("wd") or _decay_for(config, numbers["lr"])
    if "warmup_epochs" in record:
        numbers["warmup_epochs"] = float(record["warmup_epochs"])
    say(f"{title}: {_early_story(numbers, word) if early else _story(config, record, numbers, word)}")
    return numbers


def _early_story(numbers: Mapping[str, float], word: str) -> str:
    numbers = {key: value for key, value in numbers.items() if key != "warmup_epochs"}
    what = overrides(numbers) if word == AUTO else f"the start's learning rate is {numbers['lr']:g}"
    return f"{what}, found when the study began"


def _story(config: TuneConfig, record: Mapping[str, Any], numbers: Mapping[str, float], word: str) -> str:
    """What the probes gave, what that makes the start, and what it cost."""
    start = {**config.plan.grid.start, **numbers}
    if "problem" in record:
        return f"{record['problem']}; {_beginning(start)}"
    cost = f"it cost as much as {record['cost_steps'] / _training(config).total_steps:.2f} runs"
    if word == EDGE:
        warmup = f"a warm-up of {record['warmup_epochs']:g} epochs, taken where the schedule leaves its own open"
        return f"the start's learning rate is {record['start']:g}, with {warmup}; {cost}"
    rate = f"a constant rate of {record['pick']:.3g} × {record['ratio']:g} (to the schedule's peak)"
    if word != AUTO:
        return f"{rate} makes the start's learning rate {record['start']:g}; {cost}"
    ruled = f", and a timescale of {TIMESCALE:g} for weight decay," if "wd" in numbers else ""
    return f"{rate}{ruled} make{'' if ruled else 's'} the start {overrides(start)}; {cost}"


def _stored(config: TuneConfig, word: str, mark: str) -> dict[str, Any] | None:
    """What an earlier command's probes gave for this study."""
    folder = study_folder(config.output.absolute(), config.study)
    if config.storage.kind == "memory" or not (folder.is_dir() or config.storage.kind == "url"):
        return None
    with _storage(config) as storage:
        return stored_probes(storage, config.study, word, mark)


def _kept(config: TuneConfig, word: str, record: dict[str, Any]) -> dict[str, Any]:
    """Keep what the probes gave before anything else of the study; another worker's, where it was first."""
    if config.storage.kind == "memory":
        return record
    with _storage(config) as storage:
        return keep_probes(storage, config.study, word, record, config.maximize)


@contextmanager
def _storage(config: TuneConfig) -> Iterator[BaseStorage]:
    folder = study_folder(config.output.absolute(), config.study)
    storage = open_storage(config.storage.kind, folder, config.storage.url)
    try:
        with storage_errors():
            yield storage
    finally:
        close_storage(storage)


def _probe(config: TuneConfig, words: Mapping[str, str]) -> dict[str, Any]:
    """Step sampling at the start's other hyperparameters: the start it makes, and the points behind it."""
    from flatdirs.tuning.probing import probe_task

    try:
        record = _record(config, probe_task(_training(config), ProbeConfig(), progress=config.live is not False))
    except FinderError as error:
        if words["lr"] != AUTO:
            raise
        typical = TYPICAL[_training(config).optimizer.momentum_name]
        record = {"start": typical["lr"], "problem": str(error).partition(";")[0]}
        return {**record, **{key: typical[key] for key in words if key == "wd"}}
    return {**record, **{key: _decay_for(config, record["start"]) for key in words if key == "wd"}}


def _edge(config: TuneConfig, words: Mapping[str, str]) -> dict[str, Any]:
    """What a short run of CDAT gives. Raises FinderError where its rate stays 0."""
    training = _training(config)
    rates, losses = edge_run(training)
    found = from_rates(rates)
    if found is None:
        raise FinderError("a short run of CDAT found no rate; set start.lr to a number")
    rate = _two_digits(found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step))
    return {
        "start": rate,
        "warmup_epochs": _two_digits(min(found.warmup_steps / training.steps_per_epoch, training.task.epochs / 2)),
        "cost_steps": STEP_PRICE * len(rates),
        "rates": [float(f"{one:.4g}") for one in rates],
        "losses": [float(f"{one:.4g}") for one in losses],
        **{key: _decay_for(config, rate) for key in words if key == "wd"},
    }


def _record(config: TuneConfig, found: LearningRates) -> dict[str, Any]:
    """What is kept of a curve. Raises FinderError where it has no answer."""
    if found.problem is not None:
        raise FinderError(
            f"step sampling found no rate to start from: {found.problem.partition(';')[0]}; set start.lr to "
            f"a number, or look closer with python -m flatdirs.find_lr"
        )
    assert isinstance(config.objective, ImageObjective)
    training = _training(config)
    pick = found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step)
    ratio = 1.0 if isinstance(config.objective.schedule, Constant) else PEAK_RATIO
    points = {f"{point.learning_rate:.6g}": float(f"{point.loss:.6g}") for point in found.points}
    return {
        "start": _two_digits(ratio * pick),
        "pick": pick,
        "ratio": ratio,
        "cost_steps": found.cost,
        "losses": {"0": found.initial_loss, **points},
    }
