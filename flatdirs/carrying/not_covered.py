"""What no rule speaks of when a setting is carried over, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flatdirs.carrying.rules import ADAMS, Rule
from flatdirs.carrying.setup import LENGTH, Change

SAID = {"batch_size": "batch size", LENGTH: "length", "lora_rank": "LoRA rank"}
MUCH = 10  # times the old wd, from where it is warned of
TOKENS = "https://arxiv.org/abs/2505.13738"


def not_covered(
    change: Change, happening: tuple[str, ...], chosen: tuple[Rule, ...], new: Mapping[str, float], further: list[str]
) -> Iterator[str]:
    """The sentences. `happening`: what changes; `new`: values after the rules; `further`: names of no rule."""
    yield from _without_rule(change, happening, chosen)
    if "batch_size" in happening and change.optimizer in ADAMS:
        yield from _averages(change, chosen)
    yield from _length(change, happening)
    if "width" in happening and change.optimizer in ADAMS:
        yield "embeddings, biases and norms keep their lr when the width changes; for the output layer see the paper"
    yield from _decay(change, new)
    if further:
        yield f"no rule speaks of {', '.join(further)}; nothing is changed there"


def _without_rule(change: Change, happening: tuple[str, ...], chosen: tuple[Rule, ...]) -> Iterator[str]:
    """What changes without a rule for lr, and wd where it has none."""
    answered = {rule.to for rule in chosen if rule.of in ("lr", "lora_alpha")}
    for name in happening:
        if name not in answered:
            said = SAID.get(name, name)
            yield f"no rule is known here for how the lr of {change.optimizer} answers to the {said}; it stays"
    if change.optimizer == "adam" and change.values.get("wd"):
        yield "no rule is known here for the wd of Adam with coupled decay (L2); it stays"


def _averages(change: Change, chosen: tuple[Rule, ...]) -> Iterator[str]:
    """What of Adam's averages is not carried over with the batch size."""
    if untold := [name for name in ("beta1", "beta2", "epsilon") if name not in change.values]:
        yield f"{', '.join(untold)}: not told, so not carried over, although there are rules"
    if any(rule.of == "beta1" and rule.name != "square root" for rule in chosen):
        yield "1−beta1 ∝ batch size would make 1−beta1 1 or more, which is no average; beta1 stays"


def _length(change: Change, happening: tuple[str, ...]) -> Iterator[str]:
    """That kept steps are other data, and what language models are said to want of wd."""
    steps, ratio = change.before.steps, change.ratio("batch_size")
    if steps is not None and steps == change.after.steps and "batch_size" in happening:
        same = max(1, round(steps / ratio))
        yield f"steps stay at {steps}, so a run sees {ratio:.3g} times the data; with steps={same} it sees as much"
    if LENGTH in happening and change.optimizer == "adamw" and change.values.get("wd"):
        yield f"for language models the best T·lr·wd is said to grow with the tokens per parameter ({TOKENS})"


def _decay(change: Change, new: Mapping[str, float]) -> Iterator[str]:
    """That much more wd is no matter of timescales alone."""
    old = change.values.get("wd", 0.0)
    if old and new["wd"] >= MUCH * old:
        times = f"{new['wd'] / old:.3g}"
        yield f"wd is {times} times what it was: weights that no normalisation follows (head, biases) may shrink to 0"
