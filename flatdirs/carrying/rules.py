"""The rules by which a setting is carried over, as data: what each says, when it holds, and what it rests on.

Rules of one group say how one hyperparameter answers to one change. The first that holds is chosen, the others that
hold are told beside it. `RULES` is in the order in which they are applied; wd comes last, as it holds a product.

κ is the new batch size over the old one, T the steps of a run, T·lr·wd/(1−momentum) the weight-decay timescales in it.
A basis of "found" is a statement of the source, "derived" follows from the update rule, "ours" is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from flatdirs.carrying.setup import LENGTH, OPTIMIZERS, TIMESCALES, Change

Values = Mapping[str, float]
ADAMS = ("adamw", "adam")
SMALL_BATCH = 128  # the largest batch of the lattices on which the linear rule was the better one
MATCHED = frozenset({"adamw", "muon"})  # optimizers between which lr and wd stay, with adjust_lr_fn=match_rms_adamw

MYRTLE = "https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/"
SDE = "https://arxiv.org/abs/2205.10287"
HALF_LIFE = "https://arxiv.org/abs/2507.07101"
STEP_LAW = "https://arxiv.org/abs/2503.04715"
CONVEX = "https://arxiv.org/abs/2501.18965"
TIMESCALE = "https://arxiv.org/abs/2405.13698"
EMA = "https://arxiv.org/abs/2307.13813"
MUP = "https://arxiv.org/abs/2203.03466"
RSLORA = "https://arxiv.org/abs/2312.03732"
LORA = "https://arxiv.org/abs/2106.09685"
TABLES = "https://github.com/automl/LCBench"
LATTICES = "benchmarks/lattice"
MUON = "https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html"


@dataclass(frozen=True)
class Rule:
    """How the hyperparameter `of` answers when `to` changes (a name of `Change.ratio`, or optimizer).

    With r the ratio of `to`, new over old, the new value is by its `law`: "power" old·r^exponent, "half-life" old^r,
    "complement" 1 − r·(1 − old), "product" what holds T·lr·wd (SGD: over 1−momentum). `holds` says whether the rule
    speaks of a change (None: of all), `when` the same in words; `why`: a reason to choose it, behind "because".
    """

    name: str
    of: str
    to: str
    formula: str
    basis: Literal["found", "derived", "ours"]
    source: str
    law: Literal["power", "half-life", "complement", "product"]
    exponent: float = 0.0
    optimizers: tuple[str, ...] = OPTIMIZERS
    holds: Callable[[Change], bool] | None = None
    when: str = ""
    why: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """What rules that answer the same question have in common."""
        return self.of, self.to

    @property
    def rests_on(self) -> str:
        """Basis and source, such as "found, https://arxiv.org/abs/2205.10287"."""
        return f"{self.basis}, {self.source}"

    def speaks(self, change: Change) -> bool:
        """Whether it says something about this change."""
        known = change.optimizer in self.optimizers and change.happens(self.to)
        return known and (self.holds is None or self.holds(change))

    def value(self, old: float, change: Change, now: Values) -> float:
        """The new value, from the old one and from the values that earlier rules have given."""
        if self.law == "product":
            averaging = change.ratio("momentum") if change.optimizer == "sgd" else 1.0
            return old * averaging / (change.steps_ratio * now["lr"] / change.values["lr"])
        if not self.exponent:
            return old
        ratio = change.ratio(self.to)
        if self.law == "half-life":
            return float(old**ratio)
        return 1 - ratio * (1 - old) if self.law == "complement" else float(old * ratio**self.exponent)


def _is_average(name: str) -> Callable[[Change], bool]:
    """Whether 1 − value stays below 1 when it grows as the batch size."""
    return lambda change: change.ratio("batch_size") * (1 - change.values.get(name, 0.0)) < 1


def _small(change: Change) -> bool:
    return max(change.before.batch_size or 0, change.after.batch_size or 0) <= SMALL_BATCH


def _large(change: Change) -> bool:
    return not _small(change)


def _has_alpha(change: Change) -> bool:
    return "lora_alpha" in change.values


def _has_no_alpha(change: Change) -> bool:
    return not _has_alpha(change)


RULES = (
    Rule(
        "matched size of updates", "lr", "optimizer", "lr stays, with adjust_lr_fn=match_rms_adamw", "found", MUON,
        "power", 0, ("adamw", "muon"),
        why="torch scales Muon's update to the usual size of AdamW's, so that lr and wd can be reused",
    ),
    Rule(
        "maximal update parametrisation", "lr", "width", "lr of hidden matrices ∝ 1/width", "found", MUP,
        "power", -1.0, ADAMS,
        why="a step of Adam then changes the features of a layer equally at every width",
    ),
    Rule(
        "rank-stabilised", "lora_alpha", "lora_rank", "lora_alpha ∝ √lora_rank, lr stays", "found", RSLORA,
        "power", 0.5, ADAMS, _has_alpha,
        why="with the scale alpha/rank, updates shrink as the rank grows unless alpha grows with its root",
    ),
    Rule(
        "constant alpha", "lora_alpha", "lora_rank", "lora_alpha and lr stay", "found", LORA,
        "power", 0, ADAMS, _has_alpha,
        why="the scale alpha/rank was meant to save tuning when the rank changes",
    ),
    Rule(
        "rank-stabilised", "lr", "lora_rank", "lr·lora_alpha/√lora_rank held, so lr ∝ √lora_rank", "derived", RSLORA,
        "power", 0.5, ADAMS, _has_no_alpha, "lora_alpha is not told",
        why="lr and the scale alpha/rank count by their product, and alpha ∝ √rank leaves lr where it is",
    ),
    Rule(
        "effective step", "lr", "momentum", "lr/(1−momentum) held", "found", MYRTLE,
        "power", 1.0, ("sgd",),
        why="a gradient enters the weights with a total of lr/(1−momentum)",
    ),
    Rule(
        "no effect of momentum", "lr", "momentum", "lr stays", "found", MUON,
        "power", 0, ("muon",),
        why="Muon's update is orthonormal, whatever the momentum",
    ),
    Rule(
        "no effect of beta1", "lr", "beta1", "lr stays", "derived", TIMESCALE,
        "power", 0, ADAMS,
        why="Adam's average has weights that add up to 1",
    ),
    Rule(
        "linear", "lr", "batch_size", "lr ∝ batch size", "found", MYRTLE,
        "power", 1.0, ("sgd",), _small, f"both batches at most {SMALL_BATCH}",
        why="it was better than the square root on our own lattices of small batches, 16 to 128 images a step",
    ),
    Rule(
        "square root", "lr", "batch_size", "lr ∝ √batch size", "found", SDE,
        "power", 0.5, ADAMS,
        why="it keeps the noise of Adam's steps, and linear is lost on language models with Adam",
    ),
    Rule(
        "square root", "lr", "batch_size", "lr ∝ √batch size", "ours", TABLES,
        "power", 0.5, ("sgd",),
        why="it is the safer one for moves of 4× and more on public tables (LCBench and others)",
    ),
    Rule(
        "linear", "lr", "batch_size", "lr ∝ batch size", "found", MYRTLE,
        "power", 1.0, ("sgd",), _large, f"a batch above {SMALL_BATCH}",
        why="equal data then gives equal steps, while the batch is small beside the critical one",
    ),
    Rule(
        "language-model grids", "lr", "batch_size", "lr ∝ batch size^0.3", "found", STEP_LAW,
        "power", 0.3, ADAMS,
        when="language models",
        why="it is the median over 16 grids of public runs (quartiles 0.24 and 0.37), refitted by us",
    ),
    Rule(
        "square root", "beta1", "batch_size", "1−beta1 ∝ batch size", "found", SDE,
        "complement", 1, ADAMS, _is_average("beta1"), "κ(1−beta1) < 1",
        why="gradients are then averaged over as much data",
    ),
    Rule(
        "constant beta1", "beta1", "batch_size", "beta1 stays", "found", HALF_LIFE,
        "power", 0, ADAMS,
        when="language models",
        why="0.9 did well at every batch size tried there",
    ),
    Rule(
        "half-life in data", "beta2", "batch_size", "beta2^κ, κ the ratio of the batch sizes", "found", HALF_LIFE,
        "half-life", 1, ADAMS,
        why="squares are then averaged over as much data, for every κ",
    ),
    Rule(
        "square root", "beta2", "batch_size", "1−beta2 ∝ batch size", "found", SDE,
        "complement", 1, ADAMS, _is_average("beta2"), "κ(1−beta2) < 1",
        why="it is the same to first order in 1−beta2",
    ),
    Rule(
        "square root", "epsilon", "batch_size", "epsilon ∝ 1/√batch size", "found", SDE,
        "power", -0.5, ADAMS,
        why="the noise of a gradient shrinks so",
    ),
    Rule(
        "averaging in data", "ema", "batch_size", "decay^κ, κ the ratio of the batch sizes", "found", EMA,
        "half-life", 1,
        why="weights are then averaged over as much data",
    ),
    Rule(
        "constant peak", "lr", LENGTH, "lr stays", "ours", LATTICES,
        "power", 0,
        why="holding the timescales by wd counted most when the length changed",
    ),
    Rule(
        "convex bound", "lr", LENGTH, "lr ∝ 1/√T at the same batch size", "found", CONVEX,
        "power", -0.5,
        when="schedules that decay linearly, such as wsd and triangle",
        why="it minimises a bound that real runs follow",
    ),
    Rule(
        "timescales", "wd", TIMESCALES, "T·lr·wd/(1−momentum) held", "derived", MYRTLE,
        "product", 1, ("sgd",),
        why="weight decay then replaces the weights as often; that lr·wd/(1−momentum) counts in a step was found",
    ),
    Rule(
        "timescales", "wd", TIMESCALES, "T·lr·wd held", "found", TIMESCALE,
        "product", 1, ("adamw", "muon"),
        why="weight decay then replaces the weights as often in a run",
    ),
)  # fmt: skip
