"""Our trainer on images or on a text as the objective.

At each point the network is trained once per seed, and the mean over the seeds is the value. Evaluations are counted
within each of these runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from flatdirs.curvature.log_record import columns
from flatdirs.errors import ConfigError
from flatdirs.objectives.base import Measurement, Progress, RunInfo, State
from flatdirs.objectives.provenance import provenance
from flatdirs.setting_checks import describe
from flatdirs.training.edge_metric import EdgeOfStability
from flatdirs.training.metrics import Accuracy, Metric, evaluator
from flatdirs.training.optimizer import Optimizer, Sgd
from flatdirs.training.run_config import FURTHER, CurvatureConfig, TrainConfig
from flatdirs.training.schedule import Schedule, Triangle
from flatdirs.training.task import DataConfig, Task

if TYPE_CHECKING:
    from flatdirs.training.run_config import Epoch, TrainResult

WHOLE = ("batch_size", "lora_rank")
MOST_STEPS = 2000  # of a run's steps that are kept with the trial


@dataclass(frozen=True)
class ImageObjective:
    """Our trainer on images or on a text; maximises accuracy in percent, or minimises another metric."""

    task: Task
    data: DataConfig
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    schedule: Schedule = field(default_factory=Triangle)
    optimizer: Optimizer = field(default_factory=Sgd)
    compile: bool = False
    metric: Metric = field(default_factory=Accuracy)
    evaluate_every: int | None = None
    clip_gradient: float | None = None
    ema: float | None = None
    base: str | None = None
    lora_rank: int | None = None
    lora_alpha: float | None = None
    curvature: CurvatureConfig = field(default_factory=CurvatureConfig)

    def __post_init__(self) -> None:
        self.schedule.check(self.task.epochs)

    @property
    def unit(self) -> str:
        return self.metric.unit

    @property
    def total(self) -> int | None:
        return self.task.epochs if self.evaluate_every is None else None

    def config(self, hyperparameters: Mapping[str, float], seed: int, final: bool = False) -> TrainConfig:
        """The configuration of one run. Raises ConfigError for hyperparameters that the optimizer does not have."""
        self.check(hyperparameters)
        data = replace(self.data, evaluate="final") if final and self.data.evaluate == "validation" else self.data
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "metric"}
        given = {name: hyperparameters.get(name) for name in ("lr", "sigma", "momentum", "beta1", "wd", *FURTHER)}
        whole = {name: int(hyperparameters[name]) for name in WHOLE if name in hyperparameters}
        lora = {name: hyperparameters[name] for name in ("lora_alpha",) if name in hyperparameters}
        return TrainConfig(**{**own, **given, **whole, **lora, "data": data}, seed=seed, record_steps=True)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The hyperparameters that a run needs, apart from the batch size."""
        rate = self.schedule.rate_name
        return (*([rate] if rate else []), self.optimizer.momentum_name, "wd")

    def takes(self, name: str) -> bool:
        """Whether a run can be given a hyperparameter, be it needed or not."""
        lora = ("lora_rank", "lora_alpha") if self.base is not None else ()
        return name in (*self.hyperparameters, "batch_size", *self.optimizer.further, *lora)

    def recipe(self) -> dict[str, Any]:
        """Schedule and optimizer as mappings, for the identity of a study and for best.yaml."""
        return {"schedule": describe(self.schedule), "optimizer": describe(self.optimizer)}

    def check(self, hyperparameters: Iterable[str]) -> None:
        """Raise ConfigError unless schedule and optimizer have exactly these, with or without those they may have."""
        given = {*hyperparameters}
        strange, missing = {name for name in given if not self.takes(name)}, {*self.hyperparameters} - given
        for names, problem in ((strange, "has no"), (missing, "needs")):
            if not names:
                continue
            shown = ", ".join(sorted(names))
            if names & {"lr", "sigma"}:
                raise ConfigError(
                    f"schedule={self.schedule.name} {problem} {shown}; change chart or schedule to fit (see flatdirs "
                    f"charts), or remove chart",
                    key="chart",
                )
            raise ConfigError(
                f"optimizer={self.optimizer.name} {problem} {shown}; change chart or optimizer to fit (see flatdirs "
                f"charts), or remove chart",
                key="chart",
            )

    @property
    def takes_seed(self) -> bool:
        return True

    def code(self) -> dict[str, str]:
        """Empty: the trainer is part of flatdirs."""
        return {}

    def measure(
        self,
        hyperparameters: Mapping[str, float],
        seeds: Sequence[int],
        progress: Progress,
        final: bool = False,
        run: RunInfo | None = None,
    ) -> Measurement:
        """Train once per seed. One diverged run makes the measurement diverged."""
        from flatdirs.training.loop import train

        results: list[TrainResult] = []
        curves: list[list[float]] = []
        for number, seed in enumerate(seeds):
            config = self.config(hyperparameters, seed, final)
            value_of, curve = evaluator(self.metric), list[float]()

            def watch(
                epoch: Epoch,
                total: int = config.evaluations,
                number: int = number,
                value_of: Callable[[Epoch], float] = value_of,
                curve: list[float] = curve,
            ) -> bool | None:
                curve.append(value_of(epoch))
                return progress(epoch.number, total, curve[-1], number)

            results.append(train(config, on_epoch=watch))
            curves.append(curve)
            if results[-1].stopped:
                break
        timescales = self.config(hyperparameters, seeds[0]).decay_timescales
        return replace(_combine(results, seeds, curves, self.metric), timescales=timescales)

    def fingerprint(self) -> str:
        """A checksum of the images and labels, or of the text."""
        from flatdirs.training.data import load
        from flatdirs.training.device import resolve_device

        return load(self.task, self.data, resolve_device(self.device), self.base).checksum

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """From a few real steps and one evaluation on the loaded data."""
        from flatdirs.training.loop import expected_seconds

        return expected_seconds(self.config(hyperparameters, 0))


def _combine(
    results: Sequence[TrainResult], seeds: Sequence[int], curves: Sequence[Sequence[float]], metric: Metric
) -> Measurement:
    state: State = "finished"
    if any(result.diverged for result in results):
        state = "diverged"
    elif results[-1].stopped:
        state = "pruned"
    ends = [curve[result.returned_epoch - 1] for curve, result in zip(curves, results, strict=True)]
    accurate = isinstance(metric, Accuracy)
    value = _plain(statistics.fmean(ends))
    if state == "pruned" or (state == "diverged" and not accurate):  # the loss of a diverged run could be a reward
        value = None
    loss = statistics.fmean(result.loss for result in results)
    return Measurement(
        state,
        value,
        _plain(loss),
        all(result.at_chance for result in results) if accurate else None,
        sum(result.seconds for result in results),
        _curve(results, seeds, curves if isinstance(metric, EdgeOfStability) else ()),
        _provenance(results, seeds),
        accuracy=statistics.fmean(result.returned.accuracy for result in results),  # measured, diverged or not
        partial=_plain(curves[-1][-1]) if state == "pruned" else None,
        steps=_steps(results[0], seeds[0]),
        curvature=_curvature(results, seeds),
    )


def _curve(
    results: Sequence[TrainResult], seeds: Sequence[int], metrics: Sequence[Sequence[float]] = ()
) -> tuple[Mapping[str, float | None], ...]:
    """One entry per evaluation, numbered from 1 for each seed; `metrics`: the values of the metric, per seed."""
    keys = ("number", "train_loss", "loss", "accuracy", "seconds", "lr", "steps")
    entries = []
    for index, (result, seed) in enumerate(zip(results, seeds, strict=False)):
        own = [{"metric": _plain(value)} for value in metrics[index]] if metrics else [{}] * len(result.epochs)
        for epoch, metric in zip(result.epochs, own, strict=True):
            entries.append({key: _plain(getattr(epoch, key)) for key in keys} | metric | {"seed": seed})
    return tuple(entries)


def _steps(result: TrainResult, seed: int) -> dict[str, Any]:
    """The steps of a run to four digits, thinned to at most MOST_STEPS."""
    recorded, every = result.recorded, 1 + (result.steps - 1) // MOST_STEPS
    columns = {"lr": recorded.lr, "gradient_norm": recorded.gradient_norm}
    if recorded.clipped_norm != recorded.gradient_norm:
        columns["clipped_norm"] = recorded.clipped_norm
    return {
        "seed": seed,
        "every": every,
        **{key: [_short(x) for x in column[::every]] for key, column in columns.items()},
    }


def _provenance(results: Sequence[TrainResult], seeds: Sequence[int]) -> dict[str, Any]:
    last = results[-1]
    return {
        "accuracies": [result.accuracy for result in results],
        "seeds": list(seeds),
        "steps": last.steps,
        "device": last.device,
        "precision": last.precision,
        "threads": last.threads,
        "compile_seconds": sum(result.compile_seconds for result in results),
        **provenance(),
    }


def _curvature(results: Sequence[TrainResult], seeds: Sequence[int]) -> tuple[Mapping[str, Any], ...]:
    runs = zip(results, seeds, strict=False)
    return tuple({"seed": seed, **columns(result.curvature)} for result, seed in runs if result.curvature)


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _plain(value: float) -> float | None:
    """None for numbers that JSON does not have."""
    return value if math.isfinite(value) else None
