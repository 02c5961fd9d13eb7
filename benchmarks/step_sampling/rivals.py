"""The rivals: a ramp of at most 100 steps from a complete run's fresh weights, and their rules on its curve.

torch-lr-finder 0.2.2 is the library itself, 1e-7 to 100 as in its README. fastai (fastai.callback.schedule) and Lightning
(lightning.pytorch.tuner.lr_finder: by step until 2025, by rate since its pull request 21055) are not installed: ramps and
rules are written anew from those files at their defaults, quirks included (fastai cuts a curve at its first nan; Lightning
skips it, and counts one step too many in its average).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from itertools import islice

import numpy as np
import torch

from benchmarks.step_sampling.models import Subject, criterion, loss_of
from flatdirs.training.optimizer import set_learning_rate

STEPS, BETA, GIVE_UP, SLIDE = 100, 0.98, 4.0, 15  # they stop where the smoothed loss is GIVE_UP times the lowest
Picks = dict[str, float | str]  # by rule: the rate, or why there is none
Ramp = tuple[np.ndarray, np.ndarray, Picks]  # rates and smoothed losses, one an optimizer step
Rule = Callable[[np.ndarray, np.ndarray], float]  # rates, smoothed losses → rate


def valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """Of the longest run of ever smaller losses, L points up to point e: the rate at e − L + ⌊L/3⌋ + ⌊L/6⌋."""
    length = np.ones(len(losses), dtype=int)
    for point, loss in enumerate(losses):
        length[point] += length[:point][losses[:point] > loss].max(initial=0)
    end = int(length.argmax())
    longest = int(length[end]) if end else 0
    return float(rates[end - longest + longest // 3 + longest // 6])


def steep(rates: np.ndarray, losses: np.ndarray) -> float:
    """The left end of the interval with the most negative slope by log rate."""
    return float(rates[(np.diff(losses) / np.diff(np.log(rates))).argmin()])


def slide(rates: np.ndarray, losses: np.ndarray) -> float:
    """From the end leftwards, the first rate whose slope by step is that of fifteen points on, to 0.005."""
    slopes = np.gradient(losses)
    left = picked = len(slopes) - 1 - SLIDE
    while left >= 0 and abs(slopes[left + SLIDE] - slopes[left]) > 0.005:
        picked, left = left, left - 1
    return float(rates[picked])


RULES: dict[str, dict[str, Rule]] = {
    "fastai": {
        "fastai_valley": valley,
        "fastai_steep": steep,
        "fastai_minimum_10": lambda rates, losses: float(rates[losses.argmin()]) / 10,
        "fastai_slide": slide,
    },
    "lightning": {
        "lightning": lambda rates, losses: float(rates[np.gradient(losses).argmin()]),
        "lightning_by_rate": lambda rates, losses: float(rates[np.gradient(losses, rates).argmin()]),
    },
}


def picks_of(library: str, rates: np.ndarray, losses: np.ndarray) -> Picks:
    """What a library's rules pick on the part of a curve that it shows them."""
    part = slice(10, -5 if library == "fastai" else -1)
    rates, losses = rates[part], losses[part]
    kept = np.cumsum(np.isnan(losses)) == 0 if library == "fastai" else np.isfinite(losses)
    found: Picks = {}
    for name, rule in RULES[library].items():
        enough = kept.sum() > (SLIDE if rule is slide else 1)
        found[name] = rule(rates[kept], losses[kept]) if enough else f"only {kept.sum()} points are left to judge"
    return found


def torch_lr_finder(subject: Subject, seed: int) -> Ramp:
    """torch-lr-finder's range_test, and the suggestion of its plot."""
    from matplotlib.figure import Figure
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

    with torch.random.fork_rng(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        torch.manual_seed(2 * seed + 1)
        model = subject.model(seed)
        finder = LRFinder(model, subject.optimizer(model.parameters(), 1e-7), criterion, device=subject.device)
        finder.range_test(TrainDataLoaderIter(subject.batches(seed)), end_lr=100, num_iter=STEPS)
        try:
            pick: float | str = float(finder.plot(ax=Figure().subplots())[1])
        except RuntimeError as error:
            pick = str(error)
    return np.array(finder.history["lr"]), np.array(finder.history["loss"]), {"torch_lr_finder": pick}


def ramp(library: str, counted: int, rate: Callable[[int], float], subject: Subject, seed: int) -> Ramp:
    """A ramp from fresh weights; the average of losses is divided by 1 − β^(step + counted), the first step being 0."""
    rates, losses, average = list[float](), list[float](), 0.0
    with torch.random.fork_rng():
        torch.manual_seed(2 * seed + 1)
        model = subject.model(seed)
        optimizer = subject.optimizer(model.parameters(), rate(0))
        for step, batch in enumerate(islice(subject.batches(seed), STEPS)):
            set_learning_rate(optimizer, rate(step))
            loss = loss_of(model, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average = BETA * average + (1 - BETA) * float(loss.item())
            rates.append(rate(step))
            losses.append(average / (1 - BETA ** (step + counted)))
            if losses[-1] > GIVE_UP * min(losses):
                break
    return np.array(rates), np.array(losses), picks_of(library, np.array(rates), np.array(losses))


FINDERS: dict[str, Callable[[Subject, int], Ramp]] = {
    "torch_lr_finder": torch_lr_finder,
    "fastai": partial(ramp, "fastai", 1, lambda step: 1e-7 * 1e8 ** (step / STEPS)),
    "lightning": partial(ramp, "lightning", 2, lambda step: 1e-8 * 1e8 ** ((step + 1) / STEPS if step else 0.0)),
}
