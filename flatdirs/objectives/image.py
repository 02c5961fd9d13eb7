"""One point → one measurement: seeds, failures, intermediate reports. No search, no storage, no Hydra.

Two objectives stand side by side: our own trainer on an image task, here, and a user's function (user_function.py). A
run that diverges is a result like any other (`Measurement.state`). With `repeats` a point is trained once a seed and
the mean counts; evaluations are counted within each of these runs, and only the first can be stopped early.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from flatdirs.backend.pruning import Accuracy, Edge, Metric
from flatdirs.curvature.record import columns
from flatdirs.errors import ConfigError
from flatdirs.objectives.provenance import provenance
from flatdirs.search.types import State
from flatdirs.training.edge_metric import Running
from flatdirs.training.optimizer import Optimizer, Sgd, describe_optimizer
from flatdirs.training.records import CurvatureConfig
from flatdirs.training.schedule import Schedule, Triangle, describe_schedule
from flatdirs.training.task import DataConfig, ImageTask

if TYPE_CHECKING:
    from flatdirs.training.loop import Epoch, TrainConfig, TrainResult

# evaluations (or reports) that one seed's run has done, of how many, value (nan: none yet), which seed's (from 0); True
# stops the first of them, and so the point, which is then a pruned one
Progress = Callable[[int, int | None, float, int], bool | None]
MOST_STEPS = 2000  # of a run's steps that are kept with the trial


@dataclass(frozen=True)
class Measurement:
    """What one point gave. `value` is in the study's own unit (percent for accuracies), None where there is none.

    A pruned run has no value; `partial` is what it reported last. `accuracy` (percent) is there whatever the metric.
    `steps`: the first seed's learning rate and gradient norm at every step, or every so many (`every`).
    `timescales`: T·lr·wd/(1−momentum), how often the weights forget where they were; None where nobody knows. `curvature`: one
    mapping a seed, a list for each field of CurvatureRecord; empty where nobody asked.
    """

    state: State
    value: float | None
    loss: float | None = None
    at_chance: bool | None = None
    seconds: float = 0.0
    curve: tuple[Mapping[str, float | None], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    timescales: float | None = None
    accuracy: float | None = None
    partial: float | None = None
    steps: Mapping[str, Any] = field(default_factory=dict)
    curvature: tuple[Mapping[str, Any], ...] = ()


class Objective(Protocol):
    """What a tuner needs to know of a task."""

    @property
    def unit(self) -> str:
        """What stands behind a value: % for accuracies."""

    @property
    def total(self) -> int | None:
        """Evaluations of one run, None where nobody knows."""

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Train once a seed, until `progress` says stop. `final`: judge on the test part where the task has one."""

    def fingerprint(self) -> str:
        """What the task's data are; a study of other data is another study."""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """What one training run is expected to take here, or None where only a run can tell."""


@dataclass(frozen=True)
class ImageObjective:
    """Our own trainer on an image task. Accuracy in percent, higher is better, or another metric, lower is better."""

    task: ImageTask
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
    curvature: CurvatureConfig = field(default_factory=CurvatureConfig)

    def __post_init__(self) -> None:
        """Refuse a schedule that the run is too short for."""
        self.schedule.check(self.task.epochs)

    @property
    def unit(self) -> str:
        """What stands behind a value: % for accuracies, the metric's name for others."""
        return self.metric.unit

    @property
    def total(self) -> int | None:
        """Evaluations of one run: its epochs, where they are not counted in steps."""
        return self.task.epochs if self.evaluate_every is None else None

    def config(self, hyperparameters: Mapping[str, float], seed: int, final: bool = False) -> TrainConfig:
        """The trainer's configuration of one run. Raises ConfigError for what the optimizer does not take."""
        from flatdirs.training.loop import TrainConfig

        self.check(hyperparameters)
        data = replace(self.data, evaluate="final") if final and self.data.evaluate == "validation" else self.data
        batch_size = hyperparameters.get("batch_size")
        return TrainConfig(
            task=self.task,
            data=data,
            lr=hyperparameters.get("lr"),
            sigma=hyperparameters.get("sigma"),
            momentum=hyperparameters.get("momentum"),
            beta1=hyperparameters.get("beta1"),
            wd=hyperparameters["wd"],
            batch_size=None if batch_size is None else int(batch_size),
            seed=seed,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            schedule=self.schedule,
            optimizer=self.optimizer,
            compile=self.compile,
            curvature=self.curvature,
            evaluate_every=self.evaluate_every,
            clip_gradient=self.clip_gradient,
            record_steps=True,
        )

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """What a run must be given besides its batch size."""
        strength = self.schedule.strength_name
        return (*([strength] if strength else []), self.optimizer.momentum_name, "wd")

    def recipe(self) -> dict[str, Any]:
        """Schedule and optimizer as plain mappings, for a study's identity and for best.yaml."""
        return {"schedule": describe_schedule(self.schedule), "optimizer": describe_optimizer(self.optimizer)}

    def check(self, hyperparameters: Iterable[str]) -> None:
        """Raise ConfigError unless these, with or without a batch size, are what schedule and optimizer take."""
        given, needed = {*hyperparameters} - {"batch_size"}, {*self.hyperparameters}
        for names, problem in ((given - needed, "has no"), (needed - given, "needs")):
            if not names:
                continue
            told = ", ".join(sorted(names))
            if names & {"lr", "sigma"}:
                raise ConfigError(
                    f"schedule={self.schedule.name} {problem} {told}; change chart or schedule to fit (chart=cdat and "
                    f"cdat_adamw go with schedule=cdat; greedy and greedy_adamw with greedy and linesearch; all others "
                    f"with all others), or leave chart out"
                )
            raise ConfigError(
                f"optimizer={self.optimizer.name} {problem} {told}; change chart or optimizer to fit (chart=adamw, "
                f"cdat_adamw, greedy_adamw go with optimizer=adamw; all others with sgd), or leave chart out"
            )

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Train once a seed; the mean over the seeds is the value, one diverged run makes the point diverged."""
        from flatdirs.training.loop import train

        results: list[TrainResult] = []
        curves: list[list[float]] = []
        for number, seed in enumerate(seeds):
            config = self.config(hyperparameters, seed, final)
            value_of, curve = follow(self.metric), list[float]()

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
        timescales = self.config(hyperparameters, seeds[0]).timescales
        return replace(_combine(results, seeds, curves, self.metric), timescales=timescales)

    def fingerprint(self) -> str:
        """A checksum of the images and labels."""
        from flatdirs.training.data import load
        from flatdirs.training.device import resolve_device

        return load(self.task, self.data, resolve_device(self.device)).checksum

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """Times a few real steps and one evaluation on the loaded data."""
        from flatdirs.training.loop import expected_seconds

        return expected_seconds(self.config(hyperparameters, 0))


def follow(metric: Metric) -> Callable[[Epoch], float]:
    """What turns a run's evaluations, given in order, into the metric's values; nan while there is none."""
    if isinstance(metric, Edge):
        running = Running(metric)

        def edge(epoch: Epoch) -> float:
            value = running.add(epoch.loss, epoch.lr)
            return math.nan if value is None else value

        return edge
    return lambda epoch: float(getattr(epoch, metric.name))


def _combine(
    results: Sequence[TrainResult], seeds: Sequence[int], curves: Sequence[Sequence[float]], metric: Metric
) -> Measurement:
    """The mean of one point's runs; all that a later reader may ask for goes along."""
    state: State = "finished"
    if any(result.diverged for result in results):
        state = "diverged"
    elif results[-1].stopped:
        state = "pruned"
    ends = [curve[result.returned_epoch - 1] for curve, result in zip(curves, results, strict=True)]
    accurate = isinstance(metric, Accuracy)
    value = _plain(statistics.fmean(ends))
    if state == "pruned" or (state == "diverged" and not accurate):  # a blown-up loss may be a reward to a metric
        value = None
    loss = statistics.fmean(result.loss for result in results)
    return Measurement(
        state,
        value,
        _plain(loss),
        all(result.at_chance for result in results) if accurate else None,
        sum(result.seconds for result in results),
        _curve(results, seeds, curves if isinstance(metric, Edge) else ()),
        _provenance(results, seeds),
        accuracy=statistics.fmean(result.returned.accuracy for result in results),  # measured, diverged or not
        partial=_plain(curves[-1][-1]) if state == "pruned" else None,
        steps=_steps(results[0], seeds[0]),
        curvature=_curvature(results, seeds),
    )


def _curve(
    results: Sequence[TrainResult], seeds: Sequence[int], metrics: Sequence[Sequence[float]] = ()
) -> tuple[Mapping[str, float | None], ...]:
    """One entry an evaluation, numbered from 1 for each seed; `metrics`: a curve a seed, where these are no losses."""
    keys = ("number", "train_loss", "loss", "accuracy", "seconds", "lr", "steps")
    entries = []
    for index, (result, seed) in enumerate(zip(results, seeds, strict=False)):
        own = [{"metric": _plain(value)} for value in metrics[index]] if metrics else [{}] * len(result.epochs)
        for epoch, metric in zip(result.epochs, own, strict=True):
            entries.append({key: _plain(getattr(epoch, key)) for key in keys} | metric | {"seed": seed})
    return tuple(entries)


def _steps(result: TrainResult, seed: int) -> dict[str, Any]:
    """A run's steps to four digits, thinned evenly where there are very many."""
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
    """One mapping a seed that was watched."""
    watched = zip(results, seeds, strict=False)
    return tuple({"seed": seed, **columns(result.curvature)} for result, seed in watched if result.curvature)


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _plain(value: float) -> float | None:
    """JSON has no NaN; None stands for it."""
    return value if math.isfinite(value) else None
