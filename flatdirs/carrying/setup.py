"""What a setting was tuned for: optimizer, batch size, length, data set, width and LoRA rank, as one frozen `Setup`.

    setup before, what changes → Change(before, after, values) → ratios that the rules (rules.py) are made of

Only ratios count, so what does not change need not be told. Batch size and examples may be in images, windows or
tokens, as long as both setups count alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import require_integer, require_number, wrong

OPTIMIZERS = ("sgd", "adamw", "adam", "muon")  # adam: with coupled weight decay (L2)
WHOLE = ("batch_size", "steps", "examples", "lora_rank", "width")
SETUP = ("batch_size", "epochs", "steps", "examples", "optimizer", "lora_rank", "width")
LENGTH = "length"  # data seen in a run, steps times batch size
TIMESCALES = "timescales"  # of weight decay in a run, which every change may touch
TOLD = ("momentum", "beta1")  # hyperparameters that may be told anew; the others follow


@dataclass(frozen=True)
class Setup:
    """What a setting was tuned for, or is to be used for; None for what is not known and does not change.

    `examples`: in the training set. `epochs` or `steps`, not both. `width`: of the hidden layers.
    Raises ConfigError for a count that is not above 0, and for an optimizer that no rule is known for.
    """

    optimizer: str
    batch_size: int | None = None
    epochs: float | None = None
    steps: int | None = None
    examples: int | None = None
    lora_rank: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            problem = f"is no optimizer that a rule is known for; these are {', '.join(OPTIMIZERS)}"
            raise wrong("optimizer", self.optimizer, problem)
        for name in WHOLE:
            if getattr(self, name) is not None:
                require_integer(name, getattr(self, name), 1)
        if self.epochs is not None:
            require_number("epochs", self.epochs, 0, above=True)
        if self.epochs is not None and self.steps is not None:
            raise wrong("steps", self.steps, f"and epochs={self.epochs:g} both say how long", remedy="give one of them")

    def changed(self, to: Mapping[str, Any]) -> Setup:
        """The setup with these in place of its own; told epochs take the place of steps, and the other way round."""
        gone = {"epochs": "steps", "steps": "epochs"}
        without: dict[str, Any] = {gone[name]: None for name in to if name in gone}
        return replace(self, **{**without, **to})

    def total_steps(self) -> float:
        """Optimizer steps of a run. Raises ConfigError naming what is not known."""
        if self.steps is not None:
            return float(self.steps)
        told = {name: getattr(self, name) for name in ("epochs", "examples", "batch_size")}
        for name, value in told.items():
            if value is None:
                raise missing(name)
        return float(told["epochs"] * told["examples"] / told["batch_size"])


@dataclass(frozen=True)
class Change:
    """From one setup to another. `values`: hyperparameters before; `told`: momentum or beta1 that are given anew."""

    before: Setup
    after: Setup
    values: Mapping[str, float]
    told: Mapping[str, float] = field(default_factory=dict)

    @property
    def optimizer(self) -> str:
        return self.after.optimizer

    def ratio(self, name: str) -> float:
        """New over old of a count, of 1 − momentum, or of the data seen; 1 where it does not change.

        Raises ConfigError where it changes and the old one is not known.
        """
        if name == LENGTH:
            return self.steps_ratio * self.ratio("batch_size")
        if name in TOLD:
            return (1 - self.told[name]) / (1 - self.values[name]) if name in self.told else 1.0
        old, new = getattr(self.before, name), getattr(self.after, name)
        if old == new:
            return 1.0
        if old is None:
            raise missing(name)
        return float(new / old)

    @cached_property
    def steps_ratio(self) -> float:
        """Optimizer steps of a run, new over old: by steps where they were told, else by epochs at that batch size."""
        before, after = self.before, self.after
        if before.steps is not None and after.steps is not None:
            return after.steps / before.steps
        if before.steps is None and after.steps is None:
            return self.ratio("epochs") * self.ratio("examples") / self.ratio("batch_size")
        return after.total_steps() / before.total_steps()

    def happens(self, name: str) -> bool:
        """Whether this changes: a name of `ratio`, optimizer, or TIMESCALES."""
        if name == "optimizer":
            return self.before.optimizer != self.after.optimizer
        if name == TIMESCALES:
            return True
        return abs(self.ratio(name) - 1) > 1e-12


def missing(name: str) -> ConfigError:
    """The error of a value before the change that is needed and not known."""
    problem = f"what {name} was is not known; write {name}=OLD:NEW, with OLD twice where it stays"
    return ConfigError(problem, key=name)
