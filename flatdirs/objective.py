"""One point → one measurement: seeds, failures, intermediate reports. No search, no storage, no Hydra.

Two objectives stand side by side: our own trainer on an image task, here, and a user's function (user_function.py). A
run that diverges is a result like any other (`Measurement.state`). With `repeats` a point is trained once a seed and
the mean counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from flatdirs.errors import ConfigError
from flatdirs.provenance import provenance
from flatdirs.search.outcome import State
from flatdirs.training.optimizer import Optimizer, Sgd, describe_optimizer
from flatdirs.training.schedule import Schedule, Triangle, describe_schedule
from flatdirs.training.task import DataConfig, ImageTask

if TYPE_CHECKING:
    from flatdirs.training.loop import TrainConfig, TrainResult

Progress = Callable[[int, int | None, float], None]  # epochs (or reports) done, of how many, value


@dataclass(frozen=True)
class Measurement:
    """What one point gave. `value` is in the study's own unit (percent for accuracies), None where there is none.

    `relaxation`: T·λα/(1−ρ), how often the weights forget where they were; None where nobody knows.
    """

    state: State
    value: float | None
    loss: float | None = None
    at_chance: bool | None = None
    seconds: float = 0.0
    curve: tuple[Mapping[str, float | None], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    relaxation: float | None = None


class Objective(Protocol):
    """What a tuner needs to know of a task."""

    @property
    def unit(self) -> str:
        """What stands behind a value: % for accuracies."""

    @property
    def total(self) -> int | None:
        """Epochs of one run, None where nobody knows."""

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Train once a seed. `final`: judge on the test part where the task has one."""

    def fingerprint(self) -> str:
        """What the task's data are; a study of other data is another study."""

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """What one training run is expected to take here, or None where only a run can tell."""


@dataclass(frozen=True)
class ImageObjective:
    """Our own trainer on an image task. Accuracy in percent; higher is better."""

    task: ImageTask
    data: DataConfig
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    schedule: Schedule = field(default_factory=Triangle)
    optimizer: Optimizer = field(default_factory=Sgd)
    compile: bool = False
    unit: str = "%"

    def __post_init__(self) -> None:
        """Refuse a schedule that the run is too short for."""
        self.schedule.check(self.task.epochs)

    @property
    def total(self) -> int | None:
        """Epochs of one run."""
        return self.task.epochs

    def config(self, hyperparameters: Mapping[str, float], seed: int, final: bool = False) -> TrainConfig:
        """The trainer's configuration of one run. Raises ConfigError for what the optimizer does not take."""
        from flatdirs.training.loop import TrainConfig

        self.check(hyperparameters)
        data = replace(self.data, evaluate="final") if final and self.data.evaluate == "validation" else self.data
        batch_size = hyperparameters.get("batch_size")
        return TrainConfig(
            task=self.task,
            data=data,
            learning_rate=hyperparameters.get("learning_rate"),
            sigma=hyperparameters.get("sigma"),
            momentum=hyperparameters.get("momentum"),
            beta1=hyperparameters.get("beta1"),
            weight_decay=hyperparameters["weight_decay"],
            batch_size=None if batch_size is None else int(batch_size),
            seed=seed,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            schedule=self.schedule,
            optimizer=self.optimizer,
            compile=self.compile,
        )

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """What a run must be given besides its batch size."""
        strength = self.schedule.strength_name
        return (*([strength] if strength else []), self.optimizer.momentum_name, "weight_decay")

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
            if names & {"learning_rate", "sigma"}:
                raise ConfigError(
                    f"schedule={self.schedule.name} {problem} {told}; change chart or schedule to fit (chart=cdat and "
                    f"cdat_adamw go with schedule=cdat; greedy and greedy_adamw with greedy and linesearch; all others "
                    f"with all others)"
                )
            raise ConfigError(
                f"optimizer={self.optimizer.name} {problem} {told}; change chart or optimizer to fit (chart=adamw, "
                f"cdat_adamw, greedy_adamw go with optimizer=adamw; all others with sgd)"
            )

    def measure(
        self, hyperparameters: Mapping[str, float], seeds: Sequence[int], progress: Progress, final: bool = False
    ) -> Measurement:
        """Train once a seed; the mean over the seeds is the value, one diverged run makes the point diverged."""
        from flatdirs.training.loop import train

        results = []
        for number, seed in enumerate(seeds):
            config = self.config(hyperparameters, seed, final)
            done = number * self.task.epochs

            def on_epoch(epoch: Any, done: int = done) -> None:
                progress(done + epoch.number, len(seeds) * self.task.epochs, epoch.accuracy)

            results.append(train(config, on_epoch=on_epoch))
        relaxation = self.config(hyperparameters, seeds[0]).relaxation
        return replace(_combine(results, seeds), relaxation=relaxation)

    def fingerprint(self) -> str:
        """A checksum of the images and labels."""
        from flatdirs.training.data import load
        from flatdirs.training.device import resolve_device

        return load(self.task, self.data, resolve_device(self.device)).checksum

    def expected_seconds(self, hyperparameters: Mapping[str, float]) -> float | None:
        """Times a few real steps and one evaluation on the loaded data."""
        from flatdirs.training.loop import expected_seconds

        return expected_seconds(self.config(hyperparameters, 0))


def _combine(results: Sequence[TrainResult], seeds: Sequence[int]) -> Measurement:
    """The mean of one point's runs; all that a later reader may ask for goes along."""
    diverged = any(result.diverged for result in results)
    losses = [result.loss for result in results]
    loss = statistics.fmean(losses)
    curve = tuple(
        {key: _plain(getattr(epoch, key)) for key in ("number", "train_loss", "loss", "accuracy", "seconds")}
        | {"seed": seed}
        for result, seed in zip(results, seeds, strict=True)
        for epoch in result.epochs
    )
    last = results[-1]
    return Measurement(
        "diverged" if diverged else "finished",
        statistics.fmean(result.returned.accuracy for result in results),  # measured, diverged or not
        loss if math.isfinite(loss) else None,
        all(result.at_chance for result in results),
        sum(result.seconds for result in results),
        curve,
        {
            "accuracies": [result.accuracy for result in results],
            "seeds": list(seeds),
            "steps": last.steps,
            "device": last.device,
            "precision": last.precision,
            "threads": last.threads,
            "compile_seconds": sum(result.compile_seconds for result in results),
            **provenance(),
        },
    )


def _plain(value: float) -> float | None:
    """JSON has no NaN; None stands for it."""
    return value if math.isfinite(value) else None
