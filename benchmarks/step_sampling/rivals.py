"""The rivals' ramps on the three subjects: one run each of about a hundred steps, the rate growing at every step.

Every ramp starts from the same fresh weights, batches and dropout as a complete run of its seed. torch-lr-finder is
the library itself, with the start, end and length of its README's fastai-style example. fastai's and Lightning's ramps
follow fastai.callback.schedule.LRFinder (with learner.AvgSmoothLoss) and lightning.pytorch.tuner.lr_finder at their
defaults, their quirks included: Lightning's average counts one step too many, which halves its first values, and its
ladder of rates lacks the second rung. A ramp costs the optimizer steps that it took.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import rows
from benchmarks.step_sampling import rules
from benchmarks.step_sampling.grid import locked
from benchmarks.step_sampling.rules import Curve, NoPick
from benchmarks.step_sampling.subject import Subject
from flatdirs.training.optimizer import set_learning_rate

STEPS = 100
BETA = 0.98  # both libraries' forgetting
GIVE_UP = 4.0  # both stop where the smoothed loss is so many times the lowest


@dataclass(frozen=True)
class Ramp:
    """One ramp: its curve, the optimizer steps it took, and each rule's pick or the reason why there is none."""

    curve: Curve
    steps: int
    picks: Mapping[str, float | NoPick]


def fastai(subject: Subject, seed: int) -> Ramp:
    """fastai's lr_find: 1e-7 to 10 in 100 steps, the last of which falls one short of 10."""

    def rate(step: int) -> float:
        return 1e-7 * (10 / 1e-7) ** (step / STEPS)

    return _ramp(subject, seed, rate, 1, rules.FASTAI)


def lightning(subject: Subject, seed: int) -> Ramp:
    """Lightning's lr_find: 1e-8 to 1 in 100 steps."""

    def rate(step: int) -> float:
        return 1e-8 * (1 / 1e-8) ** ((step + 1) / STEPS if step else 0.0)

    return _ramp(subject, seed, rate, 2, rules.LIGHTNING)


def torch_lr_finder(subject: Subject, seed: int) -> Ramp:
    """torch-lr-finder's range_test: 1e-7 to 100 in 100 steps, its README's example; the suggestion is its own plot's."""
    from matplotlib.figure import Figure
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

    with _random_state(seed), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model = _InPrecision(subject, subject.model(seed))
        optimizer = subject.optimizer(model.parameters(), 1e-7)
        finder = LRFinder(model, optimizer, subject.criterion, device=subject.device)
        finder.range_test(TrainDataLoaderIter(subject.batches(seed)), end_lr=100, num_iter=STEPS)
        rates, losses = np.array(finder.history["lr"]), np.array(finder.history["loss"])
        try:
            _, picked = finder.plot(ax=Figure().subplots())
            picks = {"torch_lr_finder": float(picked)}
        except RuntimeError as error:
            picks = {"torch_lr_finder": NoPick(str(error))}
    return Ramp(Curve(rates, losses), len(losses), picks)


FINDERS: Mapping[str, Callable[[Subject, int], Ramp]] = {
    "torch_lr_finder": torch_lr_finder,
    "fastai": fastai,
    "lightning": lightning,
}


def measure(folder: Path, subjects: Sequence[Subject], seeds: Sequence[int]) -> None:
    """Every ramp that is not on file: its picks into rivals.csv, then its curve into rivals_curves.csv."""
    for seed in seeds:
        for subject in subjects:
            for name, ramp in FINDERS.items():
                known = {(row["model"], row["seed"], row["finder"]) for row in rows.read(folder / "rivals_curves.csv")}
                if (subject.name, str(seed), name) not in known:
                    _write(folder, subject.name, seed, name, ramp(subject, seed))


def _write(folder: Path, model: str, seed: int, finder: str, ramp: Ramp) -> None:
    """One ramp, the curve last: a kill in between leaves picks that the next command writes again."""
    about = {"model": model, "seed": str(seed)}
    found = []
    for rule, pick in ramp.picks.items():
        rate, note = ("", str(pick)) if isinstance(pick, NoPick) else (repr(pick), "")
        found.append({**about, "rule": rule, "rate": rate, "steps": str(ramp.steps), "note": note})
        print(f"{model} seed {seed}, {rule}: {rate or note} after {ramp.steps} steps", flush=True)
    curve = [
        {**about, "finder": finder, "rate": f"{rate:.6g}", "loss": f"{loss:.6g}"}
        for rate, loss in zip(ramp.curve.rates.tolist(), ramp.curve.losses.tolist(), strict=True)
    ]
    with locked(folder / "rivals.csv"):
        kept = [row for row in rows.read(folder / "rivals.csv") if not _same(row, about, ramp.picks)]
        rows.write(folder / "rivals.csv", list(found[0]), [*kept, *found])
        rows.write(folder / "rivals_curves.csv", list(curve[0]), [*rows.read(folder / "rivals_curves.csv"), *curve])


def _same(row: rows.Row, about: Mapping[str, str], picks: Mapping[str, object]) -> bool:
    """Whether a row is one of this ramp's."""
    return row["rule"] in picks and all(row[key] == value for key, value in about.items())


def _ramp(
    subject: Subject,
    seed: int,
    rate: Callable[[int], float],
    counted: int,
    by: Mapping[str, Callable[[Curve], float]],
) -> Ramp:
    """A ramp of at most STEPS steps from fresh weights, and what every rule picks on it.

    Losses are an exponential average, divided by 1 − β^(step + counted), where the first step is 0; the ramp ends where
    it is GIVE_UP times its lowest.
    """
    rates: list[float] = []
    losses: list[float] = []
    average, lowest = 0.0, math.inf
    with _random_state(seed):
        for step, loss in enumerate(_train(subject, seed, rate)):
            average = BETA * average + (1 - BETA) * loss
            rates.append(rate(step))
            losses.append(average / (1 - BETA ** (step + counted)))
            lowest = min(lowest, losses[-1])
            if losses[-1] > GIVE_UP * lowest:
                break
    curve = Curve(np.array(rates), np.array(losses))
    return Ramp(curve, len(losses), {name: _pick(rule, curve) for name, rule in by.items()})


def _pick(rule: Callable[[Curve], float], curve: Curve) -> float | NoPick:
    """A rule's rate, or why it has none."""
    try:
        return rule(curve)
    except NoPick as reason:
        return reason


def _train(subject: Subject, seed: int, rate: Callable[[int], float]) -> Iterator[float]:
    """The losses of a run from fresh weights, `rate` by step, each before its own update."""
    model = subject.model(seed)
    optimizer = subject.optimizer(model.parameters(), rate(0))
    for step, batch in enumerate(islice(subject.batches(seed), STEPS)):
        set_learning_rate(optimizer, rate(step))
        loss = subject.loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield float(loss.item())


@contextlib.contextmanager
def _random_state(seed: int) -> Iterator[None]:
    """The dropout of a complete run of this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(2 * seed + 1)
        yield


class _InPrecision(nn.Module):
    """A subject's model whose forward pass is in the subject's precision, for a library that calls models itself."""

    def __init__(self, subject: Subject, model: nn.Module) -> None:
        super().__init__()
        self.subject, self.model = subject, model

    def forward(self, inputs: Tensor) -> Tensor:
        """The subject's forward pass."""
        return self.subject.forward(self.model, inputs)
