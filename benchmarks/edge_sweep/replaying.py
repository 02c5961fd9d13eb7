"""Every pruner on the recorded runs, through real Optuna studies in memory whose objective looks a curve up.

A sweep is AT_ONCE of the recorded runs in a random order (all of them while there are fewer), one after the other. The
same orders serve all rules. Its row says what was spent, what the unpruned sweep would have cost, and which final
losses each of them ends with; besides, what an unpruned sweep that stops when as much is spent would have found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from benchmarks import rows
from benchmarks.edge_sweep import recording
from benchmarks.edge_sweep.curves import Curve
from benchmarks.edge_sweep.margins import order_of
from benchmarks.edge_sweep.setting import EVALUATIONS, KAPPAS, LOSS, RUNGS, SEEN, USUAL_KAPPA, VARIANTS
from benchmarks.lattice.running import claimed, locked
from flatdirs.backend.pruning import Hyperband, Incumbent, NoPruning, Pruning, Rungs, Wandb
from flatdirs.training.edge_metric import EdgeOfStability

LEAST = 10  # recorded runs before anything is replayed
BANDS = frozenset(
    rung + late for rung in RUNGS for late in (0, EdgeOfStability().window)
)  # W&B counts what has a value
FIRST_COMPARED = EVALUATIONS * 3 // 4  # by IncumbentPruner, as it comes
Say = Callable[[str], None]


@dataclass(frozen=True)
class Rule:
    """A pruner, and the evaluations at which its answer can change in a sweep that runs one trial at a time.

    `history`: whether it looks at more of a run than its value where it is asked.
    """

    name: str
    settings: Pruning
    asked: frozenset[int] = frozenset(RUNGS)
    history: bool = False


def rules() -> list[Rule]:
    """All that are replayed, the unpruned sweep first."""
    late = frozenset(range(FIRST_COMPARED, EVALUATIONS))
    return [
        Rule("none", NoPruning(), frozenset()),
        Rule("rungs", Rungs()),
        Rule("hyperband", Hyperband()),
        Rule("wandb", Wandb(strict=False), BANDS, history=True),
        Rule("wandb strict", Wandb(strict=True), BANDS, history=True),
        Rule("incumbent", Incumbent(), late, True),
    ]


def shown_to(rule: Rule) -> list[str]:
    """What a rule is shown, one replay each, the loss first: the incumbent is compared by losses alone."""
    if rule.name == "rungs":
        others = [f"{variant}@{kappa:g}" for variant in VARIANTS for kappa in KAPPAS if kappa != USUAL_KAPPA]
        return [*SEEN, *others]
    return [LOSS] if rule.name.startswith(("none", "incumbent")) else list(SEEN)


def replay(curves: Sequence[Curve], rule: Rule, seen: str, name: str) -> list[int]:
    """How many evaluations each run gets before it is stopped, or its own number of them.

    Args:
        curves: the runs in the order in which the sweep makes them.
        rule: who stops them.
        seen: what it is shown: loss, sign, difference, or a variant with its κ, such as sign@1.05.
        name: of the study, by which Hyperband deals runs to its brackets.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name=name, pruner=rule.settings.build(EVALUATIONS), sampler=sampler)
    return [_follow(study, number, curve, rule, seen) for number, curve in enumerate(curves)]


def _follow(study: optuna.Study, number: int, curve: Curve, rule: Rule, seen: str) -> int:
    study.enqueue_trial({"run": number})
    trial = study.ask({"run": IntDistribution(0, 10**6)})
    values = curve.seen(seen)
    for step, value in enumerate(values, 1):
        asked = step in rule.asked and step < EVALUATIONS
        if not math.isfinite(value) or not (asked or rule.history):
            continue
        trial.report(float(value), step)
        if asked and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return step
    if curve.finished:
        study.tell(trial, float(values[-1]))
    else:
        study.tell(trial, state=TrialState.FAIL)
    return len(curve.losses)


def told(curves: Sequence[Curve], spent: Sequence[int], plain: Sequence[int], seen: str) -> dict[str, Any]:
    """A sweep's row, without its key. `plain`: what the same rule let each run have when it was shown the loss."""
    survivors = survived(curves, spent)
    kept = [curves[index] for index in survivors]
    last = {index: float(curves[index].seen(seen)[-1]) for index in survivors}
    affordable = max(1, sum(spent) // EVALUATIONS)
    return {
        "runs": len(curves),
        "evaluations": sum(spent),
        "whole": sum(len(curve.losses) for curve in curves),
        "survivors": len(kept),
        "shared": len(set(survivors) & set(survived(curves, plain))),
        "best": _number(min(curve.final for curve in curves)),
        "kept": _number(min((curve.final for curve in kept), default=math.inf)),
        "picked": _number(curves[min(last, key=lambda index: last[index])].final if last else math.inf),
        "as_much": _number(min(curve.final for curve in curves[:affordable])),
    }


def survived(curves: Sequence[Curve], spent: Sequence[int]) -> list[int]:
    """The runs that went to their end and did not diverge."""
    return [index for index, count in enumerate(spent) if count == EVALUATIONS and curves[index].finished]


def _number(value: float) -> str:
    return f"{value:.5g}"


def replay_all(folder: Path, names: Sequence[str], orders: int, say: Say) -> None:
    """Every replay that is not on file, or is there of fewer recorded runs or orders."""
    path, number = folder / "replays.csv", 0
    with (folder / "replays.claims.lock").open("a") as claims:
        for name in names:
            curves = [curve for _, curve in sorted(recording.recorded(folder, name).items())]
            if len(curves) < LEAST:
                say(f"{name}: {len(curves)} recorded runs, {LEAST} are wanted before anything is replayed")
                continue
            for rule in rules():
                number += 1
                with claimed(claims, number) as mine:
                    if mine:
                        _replay_rule(path, name, curves, rule, orders, say)


def _replay_rule(path: Path, name: str, curves: Sequence[Curve], rule: Rule, orders: int, say: Say) -> None:
    left = [seen for seen in shown_to(rule) if not _have(rows.read(path), name, rule, seen, len(curves), orders)]
    plain: dict[int, list[int]] = {}
    for seen in [LOSS, *(seen for seen in left if seen != LOSS)] if left else []:
        made = []
        for order in range(orders):
            chosen = [curves[index] for index in order_of(order, len(curves))]
            spent = replay(chosen, rule, seen, f"{name} {order}")
            plain.setdefault(order, spent)
            key = {"subject": name, "rule": rule.name, "seen": seen, "order": order, "recorded": len(curves)}
            made.append({**key, **told(chosen, spent, plain[order], seen)})
        if seen in left:
            with locked(path):
                others = [old for old in rows.read(path) if key_of(old) != (name, rule.name, seen)]
                rows.write(path, list(made[0]), [*others, *made])
            say(f"replayed {name} {rule.name} shown {seen}: {orders} sweeps of {len(curves)} recorded runs")


def key_of(row: rows.Row) -> tuple[str, str, str]:
    """What a replay is of."""
    return row["subject"], row["rule"], row["seen"]


def _have(known: Sequence[rows.Row], name: str, rule: Rule, seen: str, recorded: int, orders: int) -> bool:
    same = [row for row in known if key_of(row) == (name, rule.name, seen) and row["recorded"] == str(recorded)]
    return len(same) >= orders
