"""Every pruner on the recorded runs, in Optuna studies whose objective looks a curve up; margins of `incumbent` in NumPy.

A sweep looks up AT_ONCE of the recorded runs in random order, the same orders for all rules. Margins are tried on such
`random` searches and on `walk`s: each next run is the recorded one nearest to the best so far, as in a line search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from benchmarks import rows
from benchmarks.edge_sweep.runs import EVALUATIONS, KAPPAS, LOSS, RUNGS, SEEN, VARIANTS, Curve, curve_of
from benchmarks.rows import locked
from flatdirs.backend.pruner_settings import PRUNERS, Pruning, Wandb
from flatdirs.backend.pruners import SEEDS_PER_JITTER, build_pruner, jitter_of
from flatdirs.training.edge_metric import EdgeOfStability

AT_ONCE = 50  # runs of one sweep or search
SEARCHES = 200  # for each margin
FIRST = (EVALUATIONS // 2, EVALUATIONS * 3 // 4)  # first evaluation compared
MARGINS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)
ASKED = {*RUNGS, *(rung + EdgeOfStability().window for rung in RUNGS), *range(FIRST[1], EVALUATIONS)}
RULES = {name: kind() for name, kind in PRUNERS.items()} | {"wandb": Wandb(strict=False), "wandb strict": Wandb()}


def shown_to(rule: str) -> list[str]:
    """What a rule is shown, the loss first; rungs also the metrics with other kappas."""
    kappas = [kappa for kappa in KAPPAS if kappa != EdgeOfStability().kappa] if rule == "rungs" else []
    seen = [LOSS] if rule in ("none", "incumbent") else SEEN
    return [*seen, *(f"{variant}@{kappa:g}" for variant in VARIANTS for kappa in kappas)]


def recorded(folder: Path, subject: str) -> list[Curve]:
    """The recorded runs with seed 0, by number."""
    found = [row for row in rows.read(folder / f"recorded_{subject}.csv") if row["seed"] == "0"]
    return [curve_of(row) for row in sorted(found, key=lambda row: int(row["number"]))]


def replay(curves: Sequence[Curve], rule: Pruning, seen: str, name: str) -> list[int]:
    """How many evaluations each run of a sweep gets; Hyperband deals runs to brackets by the study's `name`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name=name, pruner=build_pruner(rule, EVALUATIONS), sampler=sampler)
    return [_follow(study, number, curve, seen) for number, curve in enumerate(curves)]


def _follow(study: optuna.Study, number: int, curve: Curve, seen: str) -> int:
    study.enqueue_trial({"run": number})
    trial, values = study.ask({"run": IntDistribution(0, 10**6)}), curve.seen(seen)
    for step, value in enumerate(values, 1):
        if math.isfinite(value):
            trial.report(value, step)
            if step in ASKED and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return step
    if curve.finished:
        study.tell(trial, values[-1])
    else:
        study.tell(trial, state=TrialState.FAIL)
    return len(curve.losses)


def told(curves: Sequence[Curve], spent: Sequence[int], plain: Sequence[int], seen: str) -> dict[str, Any]:
    """A sweep's row without its key. `plain`: what the same rule gives each run when it is shown the loss."""
    ended = [{i for i, n in enumerate(counts) if n == EVALUATIONS and curves[i].finished} for counts in (spent, plain)]
    last, finals = {index: curves[index].seen(seen)[-1] for index in ended[0]}, [curve.final for curve in curves]
    losses = {
        "best": min(finals),
        "kept": min((finals[index] for index in ended[0]), default=math.inf),
        "picked": finals[min(last, key=lambda index: last[index])] if last else math.inf,
        "as_much": min(finals[: max(1, sum(spent) // EVALUATIONS)]),
    }
    spending = {"evaluations": sum(spent), "whole": sum(len(curve.losses) for curve in curves)}
    kept = {"survivors": len(ended[0]), "shared": len(ended[0] & ended[1])}
    return {"runs": len(curves), **spending, **kept, **{name: f"{loss:.5g}" for name, loss in losses.items()}}


def replay_pruners(folder: Path, subject: str, rule: str, orders: int) -> None:
    """Make the replays of one rule that are not on file, or are there of fewer recorded runs or orders."""
    path, curves = folder / "replays.csv", recorded(folder, subject)
    known = [(row["subject"], row["rule"], row["seen"], row["recorded"]) for row in rows.read(path)]
    left = [seen for seen in shown_to(rule) if known.count((subject, rule, seen, str(len(curves)))) < orders]
    sweeps = [[curves[i] for i in order_of(order, len(curves))] for order in range(orders if left and curves else 0)]
    plain = [replay(sweep, RULES[rule], LOSS, f"{subject} {order}") for order, sweep in enumerate(sweeps)]
    for key in ({"subject": subject, "rule": rule, "seen": seen} for seen in left if sweeps):
        made, seen = [], key["seen"]
        for order, sweep in enumerate(sweeps):
            spent = plain[order] if seen == LOSS else replay(sweep, RULES[rule], seen, f"{subject} {order}")
            more = {"order": order, "recorded": len(curves)}
            made.append({**key, **more, **told(sweep, spent, plain[order], seen)})
        with locked(path):
            others = [old for old in rows.read(path) if not key.items() <= old.items()]
            rows.write(path, list(made[0]), [*others, *made])
        print(f"replayed {subject} {rule} shown {seen}: {orders} sweeps", flush=True)


def order_of(number: int, count: int) -> list[int]:
    """Which of `count` recorded runs search `number` makes, in random order."""
    return [int(index) for index in np.random.default_rng([1, number]).permutation(count)[:AT_ONCE]]


def walk_of(number: int, curves: Sequence[Curve]) -> tuple[list[int], list[float]]:
    """Which of the recorded runs search `number` makes, each the nearest to the best so far; its strides in octaves."""
    places, left = np.log2([curve.point for curve in curves]), np.ones(len(curves), dtype=bool)
    best = int(np.random.default_rng([2, number]).integers(len(curves)))
    order, strides = [best], list[float]()
    left[best] = False
    while left.any() and len(order) < AT_ONCE:
        far = np.where(left, np.linalg.norm(places - places[best], axis=1), np.inf)
        order.append(int(far.argmin()))
        strides.append(float(far.min()))
        left[order[-1]] = False
        best = min(best, order[-1], key=lambda index: curves[index].final)
    return order, strides


def seed_noise(folder: Path, subject: str) -> np.ndarray | None:
    """The standard deviation between seeds at each evaluation, (EVALUATIONS,), pooled over points; None without any."""
    points: dict[str, list[Curve]] = {}
    for row in rows.read(folder / f"recorded_{subject}.csv"):
        points.setdefault(row["number"], []).append(curve_of(row))
    several = [runs for runs in points.values() if len(runs) > 1 and all(run.finished for run in runs)]
    squares = [np.var([run.losses for run in runs], axis=0) * len(runs) for runs in several]
    return np.sqrt(sum(squares) / sum(len(runs) - 1 for runs in several)) if several else None


def stopped(curves: Sequence[Curve], margin: float, first: int, noise: np.ndarray | None) -> list[int]:
    """How many evaluations each run gets from IncumbentPruner; without `noise` between seeds it takes the jitter."""
    best: Curve | None = None
    spread, spent = math.nan, list[int]()
    for curve in curves:
        length = len(curve.losses)
        if best is not None:
            part = slice(first - 1, min(length, EVALUATIONS - 1))
            limits = margin * (spread if noise is None else noise[part])
            far = np.flatnonzero(np.array(curve.losses[part]) - best.losses[part] > limits)
            length = first + int(far[0]) if len(far) else length
        spent.append(length)
        if length == EVALUATIONS and curve.finished and (best is None or curve.final < best.final):
            best, spread = curve, SEEDS_PER_JITTER * (jitter_of(list(curve.losses)) or math.nan)
    return spent


def replay_margins(folder: Path, subject: str) -> None:
    """Make the subject's rows of margins.csv anew: about a minute."""
    made, path, curves = list[dict[str, Any]](), folder / "margins.csv", recorded(folder, subject)
    noise, walks = seed_noise(folder, subject), [walk_of(number, curves) for number in range(SEARCHES)]
    best, strides = min(curves, key=lambda curve: curve.final), [stride for _, walk in walks for stride in walk]
    about: dict[str, Any] = {"searches": SEARCHES, "recorded": len(curves), "stride": f"{np.median(strides):.3g}"}
    about["per_jitter"] = "" if noise is None else f"{noise[-1] / (jitter_of(list(best.losses)) or math.nan):.3g}"
    orders = {"random": [order_of(number, len(curves)) for number in range(SEARCHES)], "walk": [w for w, _ in walks]}
    units = {"jitter": None} if noise is None else {"seeds": noise, "jitter": None}
    settings = [(first, margin) for first in FIRST for margin in MARGINS]
    for kind, unit, (first, margin) in ((k, u, s) for k in orders for u in units for s in settings):
        searches = [[curves[index] for index in order] for order in orders[kind]]
        spent, whole, lost, worse = np.mean([_judged(one, margin, first, units[unit]) for one in searches], axis=0)
        key = {"subject": subject, "order": kind, "unit": unit, "first": first, "margin": f"{margin:g}"}
        found = {"saved": f"{1 - spent / whole:.4f}", "lost": f"{lost:.4f}", "worse": f"{worse:.5g}"}
        made.append({**key, **found, **about})
    with locked(path):
        rows.write(path, list(made[0]), [*(old for old in rows.read(path) if old["subject"] != subject), *made])


def _judged(curves: Sequence[Curve], margin: float, first: int, noise: np.ndarray | None) -> tuple[float, ...]:
    """Evaluations of one search with and without pruning, whether its winner was stopped, and the loss that costs."""
    counts, finals = stopped(curves, margin, first, noise), np.array([curve.final for curve in curves])
    kept, whole = finals[np.array(counts) == EVALUATIONS], sum(len(curve.losses) for curve in curves)
    return sum(counts), whole, counts[int(finals.argmin())] < EVALUATIONS, kept.min(initial=math.inf) - finals.min()
