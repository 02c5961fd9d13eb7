"""Whether the rules held: runs at half, once and twice the carried lr, along the one axis on which a setting is steep.

    points (lr ×½, ×1, ×2, with T·lr·wd held) → objective.measure, the same seeds for each → Checked → one sentence

With one seed a run's noise is not known; for an accuracy there is at least that of counting the images. With more seeds
the noise is their pooled standard deviation. An end is better only if it leads by more than two standard errors.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatdirs.errors import ObjectiveError
from flatdirs.objectives.base import Measurement, RunInfo
from flatdirs.objectives.evaluation import AnyObjective
from flatdirs.objectives.image import ImageObjective
from flatdirs.space.grid import significant
from flatdirs.training.metrics import Accuracy
from flatdirs.training.task import ImageTask
from flatdirs.tuning.formatting import assignments, exact, value_text

FACTORS = (0.5, 1.0, 2.0)
ERRORS = 2.0  # standard errors that an end must lead by

Say = Callable[[str], None]


@dataclass(frozen=True)
class Checked:
    """The values of each factor's runs, None for one that diverged; `noise`: a run's standard deviation, if known."""

    values: tuple[tuple[float | None, ...], ...]
    rates: tuple[float, ...]
    noise: float | None
    maximize: bool
    unit: str

    @property
    def means(self) -> tuple[float, ...]:
        """Higher is better; −infinity where a run diverged."""
        sign = 1 if self.maximize else -1
        whole = (tuple(one for one in own if one is not None) for own in self.values)
        pairs = zip(whole, self.values, strict=True)
        return tuple(sign * statistics.fmean(own) if len(own) == len(every) else -math.inf for own, every in pairs)

    @property
    def lead(self) -> tuple[int, float]:
        """Which factor has the best mean, and by how much it leads the middle; the middle leads by 0."""
        best = max(range(len(FACTORS)), key=lambda place: (self.means[place], place == 1))
        return best, 0.0 if best == 1 else self.means[best] - self.means[1]

    @property
    def held(self) -> bool | None:
        """Whether the middle is best, or no worse than noise explains; None where no run has a value."""
        best, lead = self.lead
        if self.means[best] == -math.inf:
            return None
        return best == 1 or (self.noise is not None and lead <= ERRORS * self._error)

    @property
    def _error(self) -> float:
        """The standard error of the difference of two means."""
        return (self.noise or 0.0) * math.sqrt(2 / len(self.values[0]))

    def sentence(self) -> str:
        """Whether the rule held, with the values."""
        shown = ", ".join(self._shown(place) for place in range(len(FACTORS)))
        best, lead = self.lead
        if self.held is None:
            return f"the check says nothing, as every lr has a run that diverged: {shown}"
        if best == 1:
            return f"the rule held, the carried lr is the best of three: {shown}"
        by = value_text(lead, self.unit, 3) if math.isfinite(lead) else "a run that did not diverge"
        verdict = "held within noise" if self.held else "did not hold"
        end = f"{exact(FACTORS[best])} times the carried lr is better by {by} ({self._noise()})"
        return f"the rule {verdict}, {end}: {shown}"

    def _noise(self) -> str:
        if self.noise is None:
            return "a run's noise is not known; check=6 tells it"
        return f"standard error {value_text(self._error, self.unit, 2)}"

    def _shown(self, place: int) -> str:
        values = self.values[place]
        told = "diverged" if None in values else value_text(abs_mean(values), self.unit)
        return f"lr={exact(self.rates[place])} {told}"


def abs_mean(values: Sequence[float | None]) -> float:
    """The mean in the objective's own unit."""
    return statistics.fmean(one for one in values if one is not None)


def points_of(setting: Mapping[str, Any], holds_product: bool) -> list[dict[str, Any]]:
    """The settings to run, one for each factor. `holds_product`: wd moves against lr."""
    points = []
    for factor in FACTORS:
        moved = {"lr": significant(setting["lr"] * factor)}
        if holds_product and setting.get("wd"):
            moved["wd"] = significant(setting["wd"] / factor)
        points.append({**setting, **(moved if factor != 1 else {})})
    return points


def check_rule(
    objective: AnyObjective,
    points: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    maximize: bool,
    say: Say,
    study: str = "",
    folder: Path | None = None,
) -> Checked:
    """Make the runs, the middle first. `folder`: for those of a command. Raises ObjectiveError where a run failed."""
    values: dict[int, tuple[float | None, ...]] = {}
    for number, place in enumerate((1, 0, 2), 1):
        own = list[float | None]()
        for seed in seeds:
            run = RunInfo(study, 1 if number == 1 and seed == seeds[0] else None, f"{number:04d}-{seed}", folder)
            found = objective.measure(points[place], [seed], lambda *_: None, run=run)
            _refuse_failed(found)
            own.append(found.value if found.state == "finished" else None)
        values[place] = tuple(own)
        lone = {name: points[place][name] for name in ("lr", "wd") if name in points[place]}
        told = ", ".join("diverged" if one is None else value_text(one, objective.unit) for one in own)
        say(f"check {number} of {len(FACTORS)}: {assignments(lone)}  {told}")
    ordered = tuple(values[place] for place in range(len(FACTORS)))
    rates = tuple(float(point["lr"]) for point in points)
    return Checked(ordered, rates, _noise_of(objective, ordered), maximize, objective.unit)


def _refuse_failed(found: Measurement) -> None:
    """Raise for a command that gave no value although nothing diverged."""
    if found.failure is not None:
        sentence = f"a run of the check {found.failure}; mend the command and give the same line again"
        raise ObjectiveError(sentence, key="task.command", detail=found.log)


def _noise_of(objective: AnyObjective, values: Sequence[Sequence[float | None]]) -> float | None:
    """A run's standard deviation: over the seeds, else for an accuracy by counting images; None if unknown."""
    several = [[one for one in own if one is not None] for own in values]
    spreads = [statistics.variance(own) for own in several if len(own) > 1]
    if spreads:
        return math.sqrt(statistics.fmean(spreads))
    counts = isinstance(objective, ImageObjective) and isinstance(objective.metric, Accuracy)
    lone = [one for own in several for one in own]
    if not counts or not lone or not isinstance(objective.task, ImageTask):
        return None
    task = objective.task
    images = task.validation_images if objective.data.evaluate == "validation" else task.test_images
    share = max(lone) / 100
    return 100 * math.sqrt(share * (1 - share) / images)
