"""Numbers for the start values that are words: lr=auto, step_sampling, cdat, prodigy or carried, wd=auto or carried.

    TuneConfig with open_start → probes of the model (or usual values) → TuneConfig with numbers

Step sampling finds a constant learning rate. A search tunes the peak of a schedule, which is PEAK_RATIO times higher;
the ratio was measured under the triangle and is used for every schedule that is not constant. The result is stored with
the study, so the same command continues from the same start without new probes. `auto` never fails: without a model to
probe, or without a result, the search starts at the usual values. `carried` needs no probes (carried_start.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeGuard

from flatdirs.backend.sampler import typical_start
from flatdirs.backend.study import keep_probes, stored_probes
from flatdirs.errors import FinderError
from flatdirs.objectives.evaluation import AnyObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.setting_checks import wrong
from flatdirs.training.run_config import ProbeConfig, TrainConfig
from flatdirs.training.schedule import Constant, Triangle
from flatdirs.tuning.adamw_start import beta2_for_small_batches, timescales, tokens_per_parameter
from flatdirs.tuning.carried_start import carried_start
from flatdirs.tuning.cdat_start import STEP_PRICE, STEPS, edge_run, from_rates
from flatdirs.tuning.formatting import assignments, exact
from flatdirs.tuning.own_storage import may_be_stored, own_storage
from flatdirs.tuning.prodigy_start import prodigy_rate
from flatdirs.tuning.settings import TuneConfig, identity

if TYPE_CHECKING:
    from flatdirs.lr_finder.result import LearningRates

STEP_SAMPLING, AUTO, EDGE, PRODIGY, CARRIED = "step_sampling", "auto", "cdat", "prodigy", "carried"
START_WORDS = {"lr": (STEP_SAMPLING, AUTO, EDGE, PRODIGY, CARRIED), "wd": (AUTO, CARRIED)}  # in place of a number
TITLES = {STEP_SAMPLING: "step sampling", AUTO: "start=auto", EDGE: "start=cdat", PRODIGY: "start=prodigy"}
PEAK_RATIO = 1.8  # best peak of the triangle over step sampling's pick; benchmarks/step_sampling/README.md

AUTO_MOMENTUM = 0.9  # momentum or beta1 of an automatic start
TIMESCALE = 1.0  # weight-decay timescales in a run, T·lr·wd/(1−momentum) (AdamW: T·lr·wd), of an automatic start
PROBED_DECAY = 5e-4  # weight decay of the probes if none is given
MOST_DECAY = {"momentum": 0.02, "beta1": 1.0}  # the timescale rule asks for more in runs of a few steps

Say = Callable[[str], None]


def automatic_start(
    pick: float, total_steps: int, momentum_name: str, constant: bool = False, timescale: float | None = None
) -> dict[str, float]:
    """The hyperparameters of an automatic start, two digits each.

    `pick`: the constant learning rate that step sampling found at momentum 0.9. `total_steps`: T, the steps of a run.
    `momentum_name`: momentum (SGD) or beta1 (AdamW). `constant`: whether the schedule is, so that lr is the pick
    itself. `timescale`: T·lr·wd/(1−momentum), for AdamW T·lr·wd; None for TIMESCALE.
    """
    rate = _two_digits((1.0 if constant else PEAK_RATIO) * pick)
    decay = _timescale_decay(rate, AUTO_MOMENTUM, total_steps, momentum_name, timescale)
    return {"lr": rate, momentum_name: AUTO_MOMENTUM, "wd": decay}


def _timescale_decay(
    rate: float, momentum: float, total_steps: int, momentum_name: str, timescale: float | None = None
) -> float:
    """The wd with so many timescales in a run, at most MOST_DECAY."""
    averaging = 1.0 - momentum if momentum_name == "momentum" else 1.0
    return _two_digits(min(MOST_DECAY[momentum_name], (timescale or TIMESCALE) * averaging / (rate * total_steps)))


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def with_start(config: TuneConfig, say: Say) -> TuneConfig:
    """The configuration with numbers for its start; a search without a start keeps its usual values.

    Raises:
        ConfigError: step_sampling, cdat, prodigy or carried has nothing to probe, or no effect.
        FinderError: step_sampling, cdat or prodigy found no learning rate; the sentence says why.
        StudyError: the study exists and began with another start.
    """
    words, plan = config.open_start, config.plan
    word = words.get("lr")
    if plan.on_grid and (beta2 := _beta2(config)) is not None:
        say(f"beta2: at so small a batch optimizer.beta2={beta2:g} holds its half-life in characters")
    if not words or not plan.on_grid:
        return config
    if idle := _nothing_to_probe(config):
        if word in (STEP_SAMPLING, EDGE, PRODIGY, CARRIED):
            raise wrong("start.lr", word, f"has no effect, as {idle}", remedy="set it to a number, or start=auto")
        own = {"lr": config.objective.optimizer.usual_lr} if _finds_rate(config.objective) else {}
        usual = {key: value for key, value in {**plan.grid.start, **own}.items() if key in words}
        begin = f"the usual {assignments(usual)}" if usual else assignments(plan.grid.start)
        say(f"start=auto: {idle}; the search starts at {begin}")
        return _with_numbers(config, own)
    if CARRIED in words.values():
        return _with_numbers(config, _carried(config, say))
    if word is None:
        return _with_numbers(config, {"wd": _decay_for(config, plan.grid.start["lr"])})
    found = _probed_start(config, word, say)
    return _with_numbers(_with_warmup(config, found.pop("warmup_epochs", None)), found)


def _carried(config: TuneConfig, say: Say) -> dict[str, float]:
    """Numbers for the words from a published setting; wd=auto follows from its lr."""
    if config.open_start.get("lr") != CARRIED:
        raise wrong("start.wd", CARRIED, "goes with start.lr=carried", remedy="set it to a number or auto")
    training = _training(config)
    numbers, story = carried_start(training, MOST_DECAY["momentum" if training.optimizer.name == "sgd" else "beta1"])
    if config.open_start.get("wd") == AUTO:
        numbers["wd"] = _decay_for(config, numbers["lr"])
    own = {key: value for key, value in numbers.items() if key in config.open_start}
    say(f"start=carried: {assignments(own)}, {story}")
    return own


def _nothing_to_probe(config: TuneConfig) -> str | None:
    """Why no learning rate can be probed; None if one can."""
    if "lr" not in config.plan.grid.chart.hyperparameters:
        return f"chart={config.chart.name} has no lr to probe"
    if _finds_rate(config.objective):
        return f"optimizer={config.objective.optimizer.name} finds lr itself"
    return None if isinstance(config.objective, ImageObjective) else f"task={config.task.name} has no model to probe"


def _beta2(config: TuneConfig) -> float | None:
    """Another beta2 for the batches of a text, where they are small."""
    return beta2_for_small_batches(_training(config)) if isinstance(config.objective, ImageObjective) else None


def _finds_rate(objective: AnyObjective) -> TypeGuard[ImageObjective]:
    return isinstance(objective, ImageObjective) and objective.optimizer.finds_rate


def _with_numbers(config: TuneConfig, numbers: Mapping[str, float]) -> TuneConfig:
    """The configuration with these values in place of the words; without words left."""
    grid = config.plan.grid
    start = {**grid.start, **{key: numbers[key] for key in config.open_start if key in numbers}}
    return replace(config, plan=replace(config.plan, grid=replace(grid, start=start)), open_start={})


def _with_warmup(config: TuneConfig, epochs: float | None) -> TuneConfig:
    """The configuration with this warm-up, if one was found and the schedule has none of its own."""
    objective = config.objective
    if epochs is None or not isinstance(objective, ImageObjective) or not isinstance(objective.schedule, Triangle):
        return config
    if objective.schedule.warmup_epochs is not None:
        return config
    schedule = replace(objective.schedule, warmup_epochs=epochs)
    return replace(config, objective=replace(objective, schedule=schedule))


def _training(config: TuneConfig) -> TrainConfig:
    """A run at the start, with the weight decay of the probes if none is given."""
    assert isinstance(config.objective, ImageObjective)
    decay = {"wd": PROBED_DECAY} if "wd" in config.open_start else {}
    return config.objective.config({**config.plan.grid.start, **decay}, config.plan.seed)


def _decay_for(config: TuneConfig, lr: float) -> float:
    """The weight decay that goes with a learning rate, at the start's momentum."""
    training = _training(config)
    rate = training.optimizer.peak_rate(lr, training.images_per_step)
    name = "momentum" if training.optimizer.accumulates else "beta1"
    return _timescale_decay(rate, training.momentum_in_force, training.total_steps, name, _timescales(training)[0])


def _timescales(training: TrainConfig) -> tuple[float, str]:
    """Weight-decay timescales in a run from the start, and why so many."""
    found = tokens_per_parameter(training)
    if found is None:
        return TIMESCALE, f"{TIMESCALE:g} weight-decay timescale in a run"
    number = timescales(found)
    return number, f"{number:.2g} weight-decay timescales in a run, as at {found:.2g} tokens per parameter"


def _probed_start(config: TuneConfig, word: str, say: Say) -> dict[str, float]:
    """Numbers for the words, from an earlier command's probes or from new ones, which are stored with the study."""
    title = TITLES[word]
    mark = sha256(json.dumps(identity(config), default=str, sort_keys=True).encode()).hexdigest()[:16]
    record = _stored(config, word, mark)
    known = record is not None
    if record is None:
        probes = f"{ProbeConfig.budget} probes of {ProbeConfig.steps} steps"
        what = {EDGE: f"{STEPS} steps of CDAT", PRODIGY: "a run of Prodigy"}.get(word, probes)
        say(f"{title}: {what} before the first run")
        own = {EDGE: _edge, PRODIGY: _prodigy}.get(word)
        found = _probe(config, word) if own is None else own(config)
        record = _kept(config, word, {"mark": mark, **found})
    numbers = {"lr": float(record["start"])}
    if "wd" in config.open_start:
        numbers["wd"] = record.get("wd") or _decay_for(config, numbers["lr"])
    told = f"{assignments(numbers)}, as found when the study began" if known else _story(config, record, numbers, word)
    say(f"{title}: {told}")
    return numbers | ({"warmup_epochs": float(record["warmup_epochs"])} if "warmup_epochs" in record else {})


def _story(config: TuneConfig, record: Mapping[str, Any], numbers: Mapping[str, float], word: str) -> str:
    """What the probes found, the start that follows, and the cost."""
    start = assignments({**config.plan.grid.start, **numbers})
    if "problem" in record:
        return f"{record['problem']}; the search starts at the usual {assignments(numbers)}"
    if word == PRODIGY:
        return f"a run of Prodigy found lr={record['found']:.3g}; the start is {start}"
    cost = f"the probes cost as much as {record['cost_steps'] / _training(config).total_steps:.2f} runs"
    if word == EDGE:
        epochs = float(record["warmup_epochs"])
        warmup = "" if _with_warmup(config, epochs) is config else f", with a warm-up of {exact(epochs)} epochs"
        return f"the start is {start}{warmup}; {cost}"
    rate = f"step sampling found lr={record['pick']:.3g} for a constant schedule"
    peak = "" if record["ratio"] == 1 else f", {record['ratio']:g} times as much for the peak of this one"
    decay = f", and wd for {_timescales(_training(config))[1]}" if "wd" in numbers else ""
    return f"{rate}{peak}{decay}; the start is {start}; {cost}"


def _stored(config: TuneConfig, word: str, mark: str) -> dict[str, Any] | None:
    """What an earlier command's probes found for this study."""
    if not may_be_stored(config):
        return None
    with own_storage(config) as storage:
        return stored_probes(storage, config.study, word, mark)


def _kept(config: TuneConfig, word: str, record: dict[str, Any]) -> dict[str, Any]:
    """Store what the probes found before anything else of the study; another worker's result, if it was first."""
    if config.storage.kind == "memory":
        return record
    with own_storage(config) as storage:
        return keep_probes(storage, config.study, word, record, config.maximize)


def _probe(config: TuneConfig, word: str) -> dict[str, Any]:
    """Step sampling at the start's other hyperparameters: the start it gives, and the points behind it."""
    from flatdirs.tuning.probing import probe_task

    try:
        record = _record(config, probe_task(_training(config), ProbeConfig(), progress=config.live is not False))
    except FinderError as error:
        if word != AUTO:
            raise
        typical = typical_start(config.plan.grid.chart)
        record = {"start": typical["lr"], "problem": str(error).partition(";")[0]}
        return {**record, **({"wd": typical["wd"]} if "wd" in config.open_start else {})}
    return record | _decay_beside(config, record["start"])


def _edge(config: TuneConfig) -> dict[str, Any]:
    """What a short run of CDAT finds. Raises FinderError if its learning rate stays 0."""
    training = _training(config)
    rates, losses = edge_run(training)
    found = from_rates(rates)
    if found is None:
        raise FinderError("a short run of CDAT found no lr; set start.lr to a number", key="start.lr")
    rate = _two_digits(found.learning_rate / training.optimizer.peak_rate(1.0, training.images_per_step))
    return {
        "start": rate,
        "warmup_epochs": _two_digits(min(found.warmup_steps / training.steps_per_epoch, training.task.epochs / 2)),
        "cost_steps": STEP_PRICE * len(rates),
        "rates": [float(f"{one:.4g}") for one in rates],
        "losses": [float(f"{one:.4g}") for one in losses],
        **_decay_beside(config, rate),
    }


def _prodigy(config: TuneConfig) -> dict[str, Any]:
    """What a run of Prodigy finds. Raises ConfigError for another optimizer than AdamW, FinderError without a rate."""
    training = _training(config)
    found = prodigy_rate(training)
    rate = _two_digits(found / training.optimizer.peak_rate(1.0, training.images_per_step))
    return {"start": rate, "found": found, "cost_steps": training.total_steps, **_decay_beside(config, rate)}


def _decay_beside(config: TuneConfig, lr: float) -> dict[str, float]:
    """The weight decay that goes with a learning rate, if it is to be found."""
    return {"wd": _decay_for(config, lr)} if "wd" in config.open_start else {}


def _record(config: TuneConfig, found: LearningRates) -> dict[str, Any]:
    """What is stored of a curve. Raises FinderError if it has no answer."""
    if found.problem is not None:
        raise FinderError(
            f"step sampling found no lr to start from: {found.problem.partition(';')[0]}; set start.lr to a number, or "
            f"look at the curve with flatdirs find-lr figure=curve.png",
            key="start.lr",
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
