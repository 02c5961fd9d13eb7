"""`start.learning_rate=step_sampling`: the word becomes a number before the search begins, once a study.

The finder answers with a constant rate, while a search tunes the highest rate of a schedule; between the two lies
PEAK_RATIO, measured on our own network under the triangle and used for every schedule that is not constant. What the
probes gave is kept with the study, so that the same command later goes on from the same start and probes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flatdirs.config import TuneConfig, read_tune
from flatdirs.errors import ConfigError, FinderError
from flatdirs.objective import ImageObjective
from flatdirs.storages import close_storage, open_storage, storage_errors
from flatdirs.study import stored_probes
from flatdirs.training.schedule import Constant
from flatdirs.trials import study_folder

WORD = "step_sampling"
PEAK_RATIO = 1.8  # best peak of the triangle over the pick, for resnet_small in benchmarks/step_sampling/README.md

AUTO_MOMENTUM = 0.9  # ρ or β₁ of an automatic start
TIMESCALE = 4.0  # T·λα/(1−ρ) of an automatic start (AdamW: T·λα)


def automatic_start(pick: float, total_steps: int, momentum_name: str, constant: bool = False) -> dict[str, float]:
    """Hyperparameters that a search may begin at when nobody has said anything.

    `pick`: what step sampling found, a constant rate at momentum 0.9; `total_steps`: T, the steps of a complete run;
    `momentum_name`: momentum (SGD) or beta1 (AdamW, whose invariant is λα); `constant`: the schedule is, so that the
    rate is the pick itself. Two digits each. Ours; the timescale rule is THEORY's: T·λα/(1−ρ) of order 1–10.
    """
    rate = float(f"{(1.0 if constant else PEAK_RATIO) * pick:.2g}")
    averaging = 1.0 - AUTO_MOMENTUM if momentum_name == "momentum" else 1.0
    decay = float(f"{TIMESCALE * averaging / (rate * total_steps):.2g}")
    return {"learning_rate": rate, momentum_name: AUTO_MOMENTUM, "weight_decay": decay}


def numeric_start(settings: Mapping[str, Any], say: Callable[[str], None]) -> tuple[dict[str, Any], str | None]:
    """The settings with a learning rate for a start, and what the probes gave, as JSON, where there were any.

    Raises:
        ConfigError: the task has no model that could be probed, or the search does not begin at the start.
        FinderError: the curve has no answer; the sentence says what is wrong with it.
        StudyError: the study is there and began another way.
    """
    if settings["start"].get("learning_rate") != WORD:
        return dict(settings), None
    config = read_tune(_with_rate(settings, 1.0))
    if not config.plan.descends:
        raise ConfigError(
            f"start.learning_rate={WORD} would probe for nothing, as search={config.plan.name} begins nowhere; set "
            f"start.learning_rate to a number"
        )
    record = _stored(config)
    if record is None:
        record = json.dumps(_probe(config, say))
    else:
        say(f"step sampling: the start's learning rate is {json.loads(record)['start']:g}, found when the study began")
    return _with_rate(settings, json.loads(record)["start"]), record


def _with_rate(settings: Mapping[str, Any], learning_rate: float) -> dict[str, Any]:
    return {**settings, "start": {**settings["start"], "learning_rate": learning_rate}}


def _stored(config: TuneConfig) -> str | None:
    """What an earlier command's probes gave for this study."""
    folder = study_folder(config.output.absolute(), config.study)
    if config.storage.kind == "memory" or not (folder.is_dir() or config.storage.kind == "url"):
        return None
    storage = open_storage(config.storage.kind, folder, config.storage.url)
    try:
        with storage_errors():
            return stored_probes(storage, config.study)
    finally:
        close_storage(storage)


def _probe(config: TuneConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Step sampling at the start's other hyperparameters: the rate to start from, and the points behind it."""
    objective = config.objective
    if not isinstance(objective, ImageObjective):
        raise ConfigError(
            f"start.learning_rate={WORD} needs a model, and task={config.task.name} has only a function; set it to a "
            f"number (in your script, flatdirs.find_learning_rate finds one)"
        )
    from flatdirs.training.probing import probe_task
    from flatdirs.training.records import ProbeConfig

    probing = ProbeConfig()
    training = objective.config(config.plan.lattice.start, config.plan.seed)
    say(f"step sampling: {probing.budget} probes of {probing.steps} steps before the first run")
    found = probe_task(training, probing, progress=config.live is not False)
    if found.problem is not None:
        raise FinderError(
            f"step sampling found no rate to start from: {found.problem.partition(';')[0]}; set start.learning_rate to "
            f"a number, or look closer with python -m flatdirs.find_lr"
        )
    pick = found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step)
    ratio = 1.0 if isinstance(objective.schedule, Constant) else PEAK_RATIO
    start = float(f"{ratio * pick:.2g}")
    say(
        f"step sampling: a constant rate of {pick:.3g} × {ratio:g} (to the schedule's peak) makes the start's learning "
        f"rate {start:g}; it cost as much as {found.cost / training.total_steps:.2f} runs"
    )
    points = {f"{point.learning_rate:.6g}": float(f"{point.loss:.6g}") for point in found.points}
    return {
        "start": start,
        "pick": pick,
        "ratio": ratio,
        "cost_steps": found.cost,
        "losses": {"0": found.initial_loss, **points},
    }
