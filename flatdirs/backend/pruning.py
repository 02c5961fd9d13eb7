"""The rules that stop runs early, as a configuration holds them.

A class is one file of conf/pruner/, its fields are that file's keys. Rungs and bands are counted in
evaluations; a first one that no run would reach is refused, since such a rule never stops anything and says nothing
(which is what happened to the source's first sweep, reference/000).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flatdirs.backend.bands import bands_of
from flatdirs.errors import ConfigError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


FIRST_COMPARED = 0.75  # of the incumbent's evaluations: curves that cross have mostly done so by then
SEEDS_PER_JITTER = 6.0  # how far seeds are taken to differ where no point was run twice, in jitters of a curve


@dataclass(frozen=True)
class Pruning(ABC):
    """A rule that stops runs early."""

    name: ClassVar[str]

    @abstractmethod
    def check(self, evaluations: int | None, silent: int = 0) -> None:
        """Raise ConfigError, naming the key, where a run of so many evaluations (None: not known) is too short.

        `silent`: the first so many of them have no value, as the metric begins later.
        """

    @abstractmethod
    def build(self, evaluations: int | None) -> BasePruner:
        """Optuna's pruner for runs of so many evaluations."""


@dataclass(frozen=True)
class NoPruning(Pruning):
    """Every run goes to its end."""

    name: ClassVar[str] = "none"

    def check(self, evaluations: int | None, silent: int = 0) -> None:
        """No run is too short."""

    def build(self, evaluations: int | None) -> BasePruner:
        """Optuna's NopPruner."""
        from optuna.pruners import NopPruner

        return NopPruner()


@dataclass(frozen=True)
class Rungs(Pruning):
    """Successive halving with one bracket."""

    name: ClassVar[str] = "rungs"
    first_rung: int = 25
    factor: int = 2

    def __post_init__(self) -> None:
        """Refuse what is no rung."""
        _least("pruner.first_rung", self.first_rung, 1)
        _least("pruner.factor", self.factor, 2)

    def check(self, evaluations: int | None, silent: int = 0) -> None:
        """A first rung must come before a run's last evaluation, all of which count."""
        _reached("pruner.first_rung", self.first_rung, evaluations)

    def build(self, evaluations: int | None) -> BasePruner:
        """Optuna's SuccessiveHalvingPruner, interrupted runs left out."""
        from flatdirs.backend.pruners import RungsPruner

        return RungsPruner(self.first_rung, self.factor)


@dataclass(frozen=True)
class Hyperband(Rungs):
    """Optuna's Hyperband: brackets whose first rungs are first_rung, first_rung·factor … up to a run's length."""

    name: ClassVar[str] = "hyperband"

    def build(self, evaluations: int | None) -> BasePruner:
        """Without a known length, Optuna takes it from the first run that ends."""
        from optuna.pruners import HyperbandPruner

        return HyperbandPruner(
            min_resource=self.first_rung,
            max_resource="auto" if evaluations is None else evaluations,
            reduction_factor=self.factor,
        )


@dataclass(frozen=True)
class Wandb(Pruning):
    """The rule of W&B sweeps; keys as they are called there."""

    name: ClassVar[str] = "wandb"
    min_iter: int = 25
    eta: float = 2.0
    strict: bool = True
    max_iter: int | None = None
    s: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no band."""
        _least("pruner.min_iter", self.min_iter, 1)
        if not (math.isfinite(self.eta) and self.eta > 1):
            raise ConfigError(f"pruner.eta={self.eta} must be above 1; change pruner.eta")
        if (self.max_iter is None) != (self.s is None):
            absent, given = ("pruner.s", "pruner.max_iter") if self.s is None else ("pruner.max_iter", "pruner.s")
            raise ConfigError(f"{given} goes with {absent}, which is not set; set {absent}, or leave both to min_iter")
        if not self._bands:
            raise ConfigError(
                f"pruner.max_iter={self.max_iter} has no band with pruner.s={self.s} and pruner.eta={self.eta:g}; "
                f"raise pruner.max_iter or pruner.s"
            )

    @property
    def _bands(self) -> list[int]:
        return bands_of(self.min_iter, self.eta, self.max_iter, self.s)

    def check(self, evaluations: int | None, silent: int = 0) -> None:
        """A first band must come before a run's last evaluation; evaluations without a value do not count."""
        if self.max_iter is None:
            _reached("pruner.min_iter", self.min_iter, evaluations, silent)
        else:
            _reached("pruner.max_iter", self._bands[0], evaluations, silent, f"{self.max_iter}, first band ")

    def build(self, evaluations: int | None) -> BasePruner:
        """Ours."""
        from flatdirs.backend.pruners import WandbPruner

        return WandbPruner(self.min_iter, self.eta, self.strict, self.max_iter, self.s)


@dataclass(frozen=True)
class Incumbent(Pruning):
    """Against the incumbent's own curve, for line searches."""

    name: ClassVar[str] = "incumbent"
    margin: float = 3.0
    spread: float | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no margin."""
        for key in ("margin", "spread"):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"pruner.{key}={value} must be 0 or more; change pruner.{key}")
        if self.first is not None:
            _least("pruner.first", self.first, 1)

    def check(self, evaluations: int | None, silent: int = 0) -> None:
        """The first evaluation to compare at must come before a run's last; all of them count."""
        if self.first is not None:
            _reached("pruner.first", self.first, evaluations)

    def build(self, evaluations: int | None) -> BasePruner:
        """Ours."""
        from flatdirs.backend.pruners import IncumbentPruner

        return IncumbentPruner(self.margin, self.spread, self.first)


PRUNERS: Mapping[str, type[Pruning]] = {kind.name: kind for kind in (NoPruning, Rungs, Hyperband, Wandb, Incumbent)}


def _least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{key}={value} must be {least} or more; change {key}")


def _reached(key: str, first: int, evaluations: int | None, silent: int = 0, before: str = "") -> None:
    """Raise ConfigError unless a run of so many evaluations has more than the first that counts.

    `silent`: how many of them do not count. `before`: what stands between the key and the first, where they are not
    the same.
    """
    if evaluations is not None and first >= evaluations - silent:
        without = f", the first {silent} without a value" if silent else ""
        raise ConfigError(
            f"{key}={before}{first} would never stop a run, which has {evaluations} evaluations{without}; lower {key}, "
            f"or evaluate (or report) more often, with evaluate_every (in steps) where the trainer is ours"
        )
