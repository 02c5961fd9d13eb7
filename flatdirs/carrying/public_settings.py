"""Well-tuned settings that others have published (public_settings.yaml), and the nearest of them carried over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flatdirs.carrying.carry import CarriedOver, carry_over
from flatdirs.carrying.setup import Setup

FILE = Path(__file__).with_name("public_settings.yaml")


@dataclass(frozen=True)
class PublicSetting:
    """An entry of public_settings.yaml. `batch_size`: examples per step, each of `context` tokens (text)."""

    name: str
    link: str
    kind: str
    optimizer: str
    setting: Mapping[str, float]
    batch_size: int
    context: int = 1
    epochs: float | None = None
    examples: int | None = None
    steps: int | None = None
    width: int | None = None

    @property
    def setup(self) -> Setup:
        """What it was tuned for: batch size in images or tokens, length in steps."""
        told = Setup(self.optimizer, self.batch_size, self.epochs, self.steps, self.examples)
        return Setup(self.optimizer, self.batch_size * self.context, steps=round(told.total_steps()), width=self.width)


@cache
def public_settings() -> tuple[PublicSetting, ...]:
    """All entries."""
    import yaml

    return tuple(PublicSetting(**entry) for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")))


def nearest(kind: str, setup: Setup) -> PublicSetting | None:
    """The entry of this kind and optimizer whose batch size and steps lie fewest octaves away; None without one."""
    known = [one for one in public_settings() if (one.kind, one.optimizer) == (kind, setup.optimizer)]
    return min(known, key=lambda one: _octaves(one.setup, setup), default=None)


def carried_to(entry: PublicSetting, setup: Setup, told: Mapping[str, Any]) -> CarriedOver:
    """An entry carried over to a setup with batch size and steps. `told`: momentum or beta1 there."""
    width = {"width": setup.width} if entry.width is not None and setup.width is not None else {}
    before = {"optimizer": entry.optimizer, "batch_size": entry.setup.batch_size, "steps": entry.setup.steps}
    after = {"batch_size": setup.batch_size, "steps": setup.steps, **width, **told}
    return carry_over(entry.setting, {**before, **({"width": entry.width} if width else {})}, after)


def _octaves(one: Setup, other: Setup) -> float:
    """The distance between two setups."""
    sizes = (one.batch_size or 1) / (other.batch_size or 1)
    return abs(math.log2(sizes)) + abs(math.log2(one.total_steps() / other.total_steps()))
