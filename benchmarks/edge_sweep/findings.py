"""What the raw rows say. Neither torch, nor Optuna, nor figures.

recorded_SUBJECT.csv    whole runs: what is known at a rung of their ends, for the loss and the metric with every κ
replays.csv             what every pruner would have done to sweeps of these runs
sweeps_SUBJECT.csv      sweeps that trained, a third of them for each thing that rungs and TPE were shown
confirmed_SUBJECT.csv   their winners, trained anew with fresh seeds
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.edge_sweep.curves import Curve, curve_of
from benchmarks.edge_sweep.paired import Paired
from benchmarks.edge_sweep.setting import (
    FRESH_SEEDS,
    HERE,
    KAPPAS,
    LOSS,
    RUNGS,
    SEEN,
    SUBJECTS,
    TRIALS,
    VARIANTS,
    Point,
)
from flatdirs.analysis.correlation import rank_correlation

ERRORS = 3.0  # standard errors that a difference must be away from 0 to count; more than 2, as orders share runs
LEAST_RUNS = 10  # recorded, before anything is said of their ranks
LEAST_REPLAYED = 100  # recorded, before replays decide anything
BEST_SHARE = 0.1  # of the runs: the winners that a rung should keep
LEAST_REPETITIONS = 5
RULES = ("none", "rungs", "hyperband", "wandb", "wandb strict", "incumbent")  # of replays.csv, in this order


@dataclass(frozen=True)
class Foresight:
    """What `seen` tells at each rung of the final loss: rank correlation over all finished runs and over their better
    half, and which share of the best tenth lies in the better half at the rung."""

    seen: str
    whole: tuple[float, ...]
    better: tuple[float, ...]
    kept: tuple[float, ...]


@dataclass(frozen=True)
class Mean:
    """A mean, its standard error (nan for one value), and of how many."""

    value: float
    error: float
    count: int

    @property
    def sign(self) -> int:
        """−1 or 1 where it is more than ERRORS standard errors from 0, else 0."""
        far = self.count > 1 and abs(self.value) > ERRORS * self.error
        return 0 if not far else int(math.copysign(1, self.value))


def mean(values: Sequence[float]) -> Mean | None:
    """The mean of finite values; None without any."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    error = statistics.stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return Mean(statistics.fmean(known), error, len(known))


@dataclass(frozen=True)
class Replayed:
    """One rule shown one thing, over so many `sweeps` of the `recorded` runs.

    `saved`: share of the evaluations; `lost`: share of the sweeps whose best run was stopped; `worse`: how much higher
    the best final loss is than without pruning; `than_as_much`: and than that of an unpruned sweep that spends as
    much; `picked`: how much higher the final loss of the run is that what was shown calls the best; `shared`: the part
    of the survivors that the same rule keeps when it is shown the loss.
    """

    rule: str
    seen: str
    recorded: int
    sweeps: int
    saved: float
    lost: float
    worse: Mean | None
    than_as_much: Mean | None
    picked: Mean | None
    shared: float


@dataclass(frozen=True)
class Swept:
    """One sweep that trained, whole."""

    seen: str
    repetition: int
    curves: tuple[Curve, ...]

    @property
    def survivors(self) -> list[Curve]:
        """The runs that went to their end."""
        return [curve for curve in self.curves if curve.finished]

    @property
    def winner(self) -> Curve | None:
        """The run that ends lowest, whatever the sweep was shown; None where none came to its end."""
        return min(self.survivors, key=lambda curve: curve.final, default=None)

    @property
    def best(self) -> float:
        """The winner's final loss."""
        return math.inf if self.winner is None else self.winner.final

    @property
    def picked(self) -> float:
        """The final loss of the run that what was shown calls the best."""
        return min(self.survivors, key=lambda curve: curve.seen(self.seen)[-1]).final if self.survivors else math.inf

    @property
    def evaluations(self) -> int:
        """What it spent."""
        return sum(len(curve.losses) for curve in self.curves)

    def within(self, evaluations: int) -> float:
        """The lowest final loss of the trials that so many evaluations pay for."""
        spent, best = 0, math.inf
        for curve in self.curves:
            spent += len(curve.losses)
            best = min(best, curve.final) if spent <= evaluations else best
        return best


@dataclass(frozen=True)
class Evidence:
    """All raw rows of a folder."""

    folder: Path = HERE

    @cached_property
    def _recorded(self) -> Mapping[str, list[dict[str, str]]]:
        return {name: rows.read(self.folder / f"recorded_{name}.csv") for name in SUBJECTS}

    def recorded(self, subject: str) -> list[Curve]:
        """The random runs, by number."""
        found = sorted((int(row["number"]), curve_of(row)) for row in self._recorded[subject] if row["seed"] == "0")
        return [curve for _, curve in found]

    def seeds_spread(self, subject: str) -> Mean | None:
        """The standard deviation between seeds of one point's final loss, pooled over points; `count`: the points."""
        finals: dict[str, list[float]] = {}
        for row in self._recorded[subject]:
            finals.setdefault(row["number"], []).append(curve_of(row).final)
        several = [known for known in finals.values() if len(known) > 1 and all(map(math.isfinite, known))]
        if not several:
            return None
        squares = sum(statistics.variance(known) * (len(known) - 1) for known in several)
        return Mean(math.sqrt(squares / sum(len(known) - 1 for known in several)), math.nan, len(several))

    def foresight(self, subject: str) -> list[Foresight]:
        """The loss first, then both variants with every κ; none with too few runs."""
        finished = [curve for curve in self.recorded(subject) if curve.finished]
        if len(finished) < LEAST_RUNS:
            return []
        metrics = [f"{variant}@{kappa:g}" for variant in VARIANTS for kappa in KAPPAS]
        return [foresight(finished, seen) for seen in (LOSS, *metrics)]

    @cached_property
    def _replays(self) -> Mapping[tuple[str, str, str], list[dict[str, str]]]:
        found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
        for row in rows.read(self.folder / "replays.csv"):
            found.setdefault((row["subject"], row["rule"], row["seen"]), []).append(row)
        return found

    def replays(self, subject: str) -> list[Replayed]:
        """Every rule and what it was shown, in the order of RULES."""
        kept = {key: rows for key, rows in self._replays.items() if key[0] == subject}
        ordered = sorted(kept, key=lambda key: (RULES.index(key[1]), seen_place(key[2])))
        return [replayed(rule, seen, kept[name, rule, seen]) for name, rule, seen in ordered]

    def losses_of(self, subject: str, rule: str, seen: str) -> dict[str, float]:
        """The best final loss that each replayed sweep keeps, by its order."""
        return {row["order"]: float(row["kept"]) for row in self._replays.get((subject, rule, seen), [])}

    @cached_property
    def _sweeps(self) -> Mapping[str, list[dict[str, str]]]:
        return {name: rows.read(self.folder / f"sweeps_{name}.csv") for name in SUBJECTS}

    @cached_property
    def _whole(self) -> Mapping[str, dict[tuple[str, int], Swept]]:
        whole = {}
        for name, known in self._sweeps.items():
            found: dict[tuple[str, int], list[Curve]] = {}
            for row in known:
                found.setdefault((row["seen"], int(row["repetition"])), []).append(curve_of(row))
            kept = {key: tuple(curves[:TRIALS]) for key, curves in found.items() if len(curves) >= TRIALS}
            whole[name] = {key: Swept(*key, curves) for key, curves in kept.items()}
        return whole

    def sweeps(self, subject: str) -> dict[tuple[str, int], Swept]:
        """The sweeps that are whole, by what was shown and repetition."""
        return self._whole[subject]

    @cached_property
    def hours(self) -> float:
        """How long all runs on file took, one after the other."""
        files = [
            self.folder / f"{kind}_{name}.csv" for kind in ("recorded", "sweeps", "confirmed") for name in SUBJECTS
        ]
        return sum(curve_of(row).seconds for path in files for row in rows.read(path)) / 3600

    def precision(self, subject: str) -> str:
        """In which precision the runs on file were made, several by commas; empty where nothing says so."""
        path = self.folder / "provenance.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return ", ".join(sorted({one["precision"] for one in known.values() if one.get("subject") == subject}))

    def trials_trained(self, subject: str) -> int:
        """The trials on file, of whole sweeps or not."""
        return len(self._sweeps[subject])

    def repetitions(self, subject: str) -> list[int]:
        """Those of which every sweep is whole."""
        whole = self.sweeps(subject)
        return sorted({number for _, number in whole if all((seen, number) in whole for seen in SEEN)})

    @cached_property
    def _confirmed(self) -> Mapping[str, dict[Point, list[float]]]:
        found: dict[str, dict[Point, list[float]]] = {name: {} for name in SUBJECTS}
        for name in SUBJECTS:
            known = {(c.point, c.seed): c for c in map(curve_of, rows.read(self.folder / f"confirmed_{name}.csv"))}
            for (point, seed), curve in known.items():
                if seed in FRESH_SEEDS:
                    found[name].setdefault(point, []).append(curve.final)
        return found

    def confirmed(self, subject: str, seen: str, repetition: int) -> float | None:
        """The mean final loss of a sweep's winner over fresh seeds, infinite where one diverged; None: not all made."""
        sweep = self.sweeps(subject).get((seen, repetition))
        if sweep is None or sweep.winner is None:
            return None
        finals = self._confirmed[subject].get(sweep.winner.point, [])
        return statistics.fmean(finals) if len(finals) == len(FRESH_SEEDS) else None

    def all_confirmed(self, subject: str) -> bool:
        """Whether every winner of every whole repetition was trained anew."""
        numbers = self.repetitions(subject)
        return bool(numbers) and all(self.confirmed(subject, s, n) is not None for n in numbers for s in SEEN)

    def ends(self, subject: str, seen: str, what: str) -> list[float]:
        """One number a whole repetition: the sweep's `best`, what it `picked`, or its winner `confirmed` (nan: not yet)."""
        whole, numbers = self.sweeps(subject), self.repetitions(subject)
        if what == "confirmed":
            told = (self.confirmed(subject, seen, number) for number in numbers)
            return [math.nan if value is None else value for value in told]
        return [float(getattr(whole[seen, number], what)) for number in numbers]

    def difference(self, subject: str, seen: str, what: str = "best") -> Paired | None:
        """How much higher a sweep ends than the same shown the loss, paired by repetition; None for fewer than two.

        `what`: best, picked or confirmed, as in `ends`; as_much: best of both within what the thriftier of the two spent.
        """
        if what == "as_much":
            whole = self.sweeps(subject)
            sides = [(whole[seen, number], whole[LOSS, number]) for number in self.repetitions(subject)]
            least = [min(one.evaluations, other.evaluations) for one, other in sides]
            pairs = [(one.within(n), other.within(n)) for (one, other), n in zip(sides, least, strict=True)]
        else:
            plain = self.ends(subject, LOSS, "confirmed" if what == "confirmed" else "best")
            pairs = list(zip(self.ends(subject, seen, what), plain, strict=True))
        known = tuple(one - other for one, other in pairs if math.isfinite(one) and math.isfinite(other))
        blown = sum(one == math.inf and math.isfinite(other) for one, other in pairs)
        spared = sum(math.isfinite(one) and other == math.inf for one, other in pairs)
        return Paired(known, blown, spared) if len(known) > 1 else None


def foresight(finished: Sequence[Curve], seen: str) -> Foresight:
    """What is known at each rung, over runs that all went to their ends."""
    finals = np.array([curve.final for curve in finished])
    shown = np.array([curve.seen(seen) for curve in finished])
    low, winners = finals <= np.median(finals), np.argsort(finals)[: max(1, round(BEST_SHARE * len(finals)))]
    whole, better, kept = [], [], []
    for rung in RUNGS:
        known = shown[:, rung - 1]
        whole.append(rank_correlation(known, finals))
        better.append(rank_correlation(known[low], finals[low]))
        kept.append(float((known[winners] <= np.median(known)).mean()))
    return Foresight(seen, tuple(whole), tuple(better), tuple(kept))


def replayed(rule: str, seen: str, found: Sequence[Mapping[str, str]]) -> Replayed:
    """The rows of one rule shown one thing."""

    def column(name: str) -> list[float]:
        return [float(row[name]) for row in found]

    kept, best, survivors = column("kept"), column("best"), sum(column("survivors"))
    return Replayed(
        rule=rule,
        seen=seen,
        recorded=int(found[0]["recorded"]),
        sweeps=len(found),
        saved=1 - sum(column("evaluations")) / sum(column("whole")),
        lost=sum(own > least for own, least in zip(kept, best, strict=True)) / len(found),
        worse=mean([own - least for own, least in zip(kept, best, strict=True)]),
        than_as_much=mean([own - least for own, least in zip(kept, column("as_much"), strict=True)]),
        picked=mean([own - least for own, least in zip(column("picked"), best, strict=True)]),
        shared=sum(column("shared")) / survivors if survivors else math.nan,
    )


def seen_place(seen: str) -> tuple[int, float]:
    """Where what is shown stands in a table: the usual κ before the others."""
    variant, _, kappa = seen.partition("@")
    return SEEN.index(variant), float(kappa or 0)
