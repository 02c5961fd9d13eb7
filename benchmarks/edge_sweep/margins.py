"""IncumbentPruner's margin, first comparison and unit, on the recorded runs: who would have been stopped too early.

A search makes AT_ONCE of the recorded runs one after the other. `random`: in random order. `walk`: it begins at a random
one, and each next run is the recorded one nearest to the best so far, in octaves of the three hyperparameters, as a
line search stays near its incumbent; its strides are longer, for the recorded points lie far apart. Orders are those of
the search that stops nothing, so that all rules judge the same runs.

The margin counts either the spread between seeds at that evaluation, pooled over the points that were recorded with
several, or (a search that has run no point twice) SEEDS_PER_JITTER jitters of the incumbent's own curve. All in NumPy,
as there are very many; a test holds it to the pruner itself. RISK was set before the first table was drawn; that a
comparison may begin at three quarters of a run was added after it: in jitters, no margin was safe from the half on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.edge_sweep.curves import Curve, curve_of
from benchmarks.edge_sweep.setting import EVALUATIONS, RANGES
from flatdirs.backend.pruning import SEEDS_PER_JITTER

AT_ONCE = 50  # runs of one search
LEAST = 100  # recorded runs before a margin is chosen
ORDERS = ("random", "walk")
UNITS = ("seeds", "jitter")
FIRST = (EVALUATIONS // 2, EVALUATIONS * 3 // 4)
MARGINS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)
RISK = 0.01  # of losing the run that would have won

Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Lost:
    """What one rule does to one kind of searches of one subject.

    `saved`: share of the evaluations; `lost`: share of the searches whose best run was stopped; `worse`: how much
    higher the lowest final loss is for it, the mean over searches.
    """

    subject: str
    order: str
    unit: str
    first: int
    margin: float
    saved: float
    lost: float
    worse: float


def order_of(number: int, count: int) -> list[int]:
    """Which of `count` recorded runs search `number` makes, in random order."""
    return [int(index) for index in np.random.default_rng([1, number]).permutation(count)[:AT_ONCE]]


def octaves(curves: Sequence[Curve]) -> Numbers:
    """Where runs lie, (runs, 3)."""
    return np.log2([[getattr(curve.point, name) for name in _POINT] for curve in curves])


_POINT = tuple(name for name in RANGES)


def walk_of(number: int, curves: Sequence[Curve]) -> list[int]:
    """Which of the recorded runs search `number` makes, each the nearest to the best so far."""
    places, left = octaves(curves), np.ones(len(curves), dtype=bool)
    best = int(np.random.default_rng([2, number]).integers(len(curves)))
    order = [best]
    left[best] = False
    while left.any() and len(order) < AT_ONCE:
        far = ((places - places[best]) ** 2).sum(axis=1)
        nearest = int(np.argmin(np.where(left, far, np.inf)))
        order.append(nearest)
        left[nearest] = False
        best = nearest if curves[nearest].final < curves[best].final else best
    return order


def stride(curves: Sequence[Curve], searches: int) -> float:
    """The median distance of a walk's run from the best before it, in octaves."""
    places, found = octaves(curves), []
    for number in range(searches):
        order = walk_of(number, curves)
        best = order[0]
        for index in order[1:]:
            found.append(float(np.linalg.norm(places[index] - places[best])))
            best = index if curves[index].final < curves[best].final else best
    return statistics.median(found)


def seeds_spreads(folder: Path, subject: str) -> Numbers | None:
    """The standard deviation between seeds at each evaluation, (EVALUATIONS,), pooled over points; None without any."""
    points: dict[str, list[Curve]] = {}
    for row in rows.read(folder / f"recorded_{subject}.csv"):
        points.setdefault(row["number"], []).append(curve_of(row))
    several = [np.array([run.losses for run in runs]) for runs in points.values() if _repeated(runs)]
    if not several:
        return None
    squares = sum(((losses - losses.mean(axis=0)) ** 2).sum(axis=0) for losses in several)
    return np.sqrt(np.asarray(squares) / sum(len(losses) - 1 for losses in several))


def _repeated(runs: Sequence[Curve]) -> bool:
    return len(runs) > 1 and all(run.finished for run in runs)


def stopped(curves: Sequence[Curve], margin: float, first: int, spreads: Numbers | None) -> list[int]:
    """How many evaluations each run of a search gets.

    Args:
        curves: the runs in the order in which the search makes them.
        margin: in spreads.
        first: the first evaluation compared.
        spreads: at each evaluation, (EVALUATIONS,); None: by the jitter of the incumbent's curve.
    """
    from flatdirs.backend.pruners import jitter_of

    best: Curve | None = None
    spread, spent = math.nan, list[int]()
    for curve in curves:
        length = len(curve.losses)
        if best is not None:
            last = min(length, EVALUATIONS - 1)
            behind = np.array(curve.losses[first - 1 : last]) - best.losses[first - 1 : last]
            limits = margin * (spread if spreads is None else spreads[first - 1 : last])
            far = np.flatnonzero(behind > limits)
            length = first + int(far[0]) if len(far) else length
        spent.append(length)
        if length == EVALUATIONS and curve.finished and (best is None or curve.final < best.final):
            best, spread = curve, SEEDS_PER_JITTER * (jitter_of(list(curve.losses)) or math.nan)
    return spent


def replay_margins(folder: Path, subject: str, searches: int) -> list[Lost]:
    """Every rule on every kind of search of one subject."""
    found = sorted(
        (int(row["number"]), curve_of(row))
        for row in rows.read(folder / f"recorded_{subject}.csv")
        if row["seed"] == "0"
    )
    curves, spreads = [curve for _, curve in found], seeds_spreads(folder, subject)
    units: dict[str, Numbers | None] = {"jitter": None} if spreads is None else {"seeds": spreads, "jitter": None}
    made = []
    for kind in ORDERS:
        orders = [order_of(n, len(curves)) if kind == "random" else walk_of(n, curves) for n in range(searches)]
        chosen = [[curves[index] for index in order] for order in orders]
        for unit, spread in units.items():
            made += [
                Lost(subject, kind, unit, first, margin, *_over(chosen, margin, first, spread))
                for first in FIRST
                for margin in MARGINS
            ]
    return made


def _over(
    searches: Sequence[Sequence[Curve]], margin: float, first: int, spreads: Numbers | None
) -> tuple[float, float, float]:
    """Saved, lost and worse over these searches."""
    spent, whole, lost, worse = 0, 0, 0, []
    for curves in searches:
        counts = stopped(curves, margin, first, spreads)
        best = min(range(len(curves)), key=lambda index: curves[index].final)
        kept = min(
            (curve.final for curve, count in zip(curves, counts, strict=True) if count == EVALUATIONS),
            default=math.inf,
        )
        spent, whole = spent + sum(counts), whole + sum(len(curve.losses) for curve in curves)
        lost += counts[best] < EVALUATIONS
        worse.append(kept - curves[best].final)
    return 1 - spent / whole, lost / len(searches), statistics.fmean(worse)


def replay_all(folder: Path, names: Sequence[str], searches: int) -> None:
    """margins.csv, made anew: seconds to minutes."""
    made, path = [], folder / "margins.csv"
    for name in names:
        recorded = [row for row in rows.read(folder / f"recorded_{name}.csv") if row["seed"] == "0"]
        if len(recorded) < 2:
            continue
        walked = stride([curve_of(row) for row in recorded], searches)
        spreads = seeds_spreads(folder, name)
        more = {"searches": searches, "recorded": len(recorded), "stride": f"{walked:.3g}"}
        more |= {"per_jitter": "" if spreads is None else f"{_per_jitter(recorded, spreads):.3g}"}
        made += [{**_row(one), **more} for one in replay_margins(folder, name, searches)]
    others = [old for old in rows.read(path) if old["subject"] not in names]
    if made:
        rows.write(path, list(made[0]), [*others, *made])


def _per_jitter(recorded: Sequence[Mapping[str, str]], spreads: Numbers) -> float:
    """How many jitters of the best run's curve seeds differ by at the end."""
    from flatdirs.backend.pruners import jitter_of

    best = min((curve_of(row) for row in recorded), key=lambda curve: curve.final)
    return float(spreads[-1]) / (jitter_of(list(best.losses)) or math.nan)


def _row(one: Lost) -> dict[str, str]:
    numbers = {"saved": f"{one.saved:.4f}", "lost": f"{one.lost:.4f}", "worse": f"{one.worse:.5g}"}
    rule = {"subject": one.subject, "order": one.order, "unit": one.unit, "first": str(one.first)}
    return {**rule, "margin": f"{one.margin:g}", **numbers}


def read(folder: Path) -> list[Lost]:
    """What margins.csv says."""
    return [
        Lost(
            row["subject"],
            row["order"],
            row["unit"],
            int(row["first"]),
            *(float(row[key]) for key in ("margin", "saved", "lost", "worse")),
        )
        for row in rows.read(folder / "margins.csv")
    ]


def safe_rules(found: Sequence[Lost]) -> dict[tuple[int, float], float]:
    """Which (first, margin) are safe → what they save, the mean over subjects, kinds of searches and units.

    Safe: it and every wider margin loses the winner in at most RISK of the searches of each.
    """
    safe = {}
    for first in FIRST:
        for margin in reversed(MARGINS):
            judged = [one for one in found if (one.first, one.margin) == (first, margin)]
            if not judged or any(one.lost > RISK for one in judged):
                break
            safe[first, margin] = statistics.fmean(one.saved for one in judged)
    return safe


def chosen(found: Sequence[Lost]) -> tuple[int, float] | None:
    """Of the safe rules the one that saves most; None where nothing is safe."""
    safe = safe_rules(found)
    return max(safe, key=lambda rule: safe[rule]) if safe else None
