"""`carry_over`: a well-tuned setting for another batch size, length, data set, momentum, optimizer, rank or width.

    setting, from_, to → Change → the first rule of each group that holds → new setting
                                → once more for each other rule that holds → what it gives instead

Nothing is run: the numbers follow from ratios. Every rule is named; where none is known, that is said and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flatdirs.carrying.not_covered import not_covered
from flatdirs.carrying.rules import MATCHED, RULES, Rule
from flatdirs.carrying.setup import LENGTH, SETUP, TOLD, Change, Setup, missing
from flatdirs.errors import ConfigError
from flatdirs.setting_checks import require_number, wrong
from flatdirs.space.names import canonical_keys

CHANGES = ("optimizer", "width", "lora_rank", "momentum", "beta1", "batch_size", LENGTH)
AVERAGES = ("momentum", "beta1", "beta2", "ema")  # decay rates, at least 0 and below 1
POSITIVE = ("lr", "epsilon", "lora_alpha")
CARRIED = ("wd", *POSITIVE, *AVERAGES)  # what rules speak of


@dataclass(frozen=True)
class Row:
    """One hyperparameter: its values before and after, and the rules that led from one to the other."""

    name: str
    was: float
    becomes: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Other:
    """What another rule gives in place of `chosen`, which answers the same question: the values that differ."""

    rule: Rule
    chosen: Rule
    values: Mapping[str, float]


@dataclass(frozen=True)
class CarriedOver:
    """A setting carried over.

    `setting`: the new values, not rounded, under the names and in the order of the old setting; `rows`: the same for
    all that a rule speaks of. `others`: what the other rules give. `not_covered`: sentences on what no rule covers.
    `before`, `after`: the setups.
    """

    setting: Mapping[str, Any]
    rows: tuple[Row, ...]
    others: tuple[Other, ...]
    not_covered: tuple[str, ...]
    before: Setup
    after: Setup


def carry_over(setting: Mapping[str, Any], from_: Mapping[str, Any], to: Mapping[str, Any]) -> CarriedOver:
    """Carry a well-tuned setting over to another setup, at no cost.

    Args:
        setting: hyperparameters by name, lr among them: wd, momentum, beta1, beta2, epsilon, ema (decay of averaged
            weights), lora_alpha; any other one stays. It may also hold what belongs to `from_`.
        from_: what they were tuned for: batch_size, epochs or steps, examples (in the training set), optimizer (sgd,
            adamw, adam, muon; None or left out: adamw where there is a beta1 and no momentum, else sgd), lora_rank,
            width. What does not change may be left out.
        to: what changes, under the same names, or momentum or beta1. Where the batch size changes, runs keep their
            epochs, or their steps if from_ tells these.

    Returns:
        The new setting, with the rules that led to it, what they rest on, and what others would give.

    Raises:
        ConfigError: nothing changes, an unknown key, a value that cannot be, one of before that is needed and missing,
            or optimizers between which no rule is known. `key` is the key to change.
    """
    values, before, told = _read(setting, from_, to)
    setup = {name: value for name, value in told.items() if name not in TOLD}
    after = before.changed(setup)
    given = {name: value for name, value in told.items() if name in TOLD}
    change = Change(before, after, {name: values[name] for name in values if name in CARRIED}, given)
    happening = tuple(name for name in CHANGES if change.happens(name))
    if not happening and before == after:
        key = next(iter(to), "to")
        remedy = f"set {key} to another value than before" if to else "say what does, such as batch_size=4096"
        raise ConfigError(f"nothing changes; {remedy}", key=key)
    _require_order(change, happening)
    groups = _groups(change)
    chosen = tuple(group[0] for group in groups)
    new = _applied(chosen, change)
    rows = tuple(_row(name, change, new, chosen) for name in change.values)
    others = tuple(_others(groups, chosen, change, new))
    carried = {**values, **new}
    own = {name: getattr(after, name) for name in SETUP if name in canonical_keys(setting)}
    result = {
        name: {**carried, **own}[name] for name in canonical_keys(setting) if {**carried, **own}[name] is not None
    }
    notes = tuple(not_covered(change, happening, chosen, new, [name for name in values if name not in CARRIED]))
    return CarriedOver(result, rows, others, notes, before, after)


def _read(
    setting: Mapping[str, Any], from_: Mapping[str, Any], to: Mapping[str, Any]
) -> tuple[dict[str, Any], Setup, dict[str, Any]]:
    """Hyperparameters, the setup before, and what changes, under short names. Raises ConfigError."""
    all_values, told_from, told = (_plain(*pair) for pair in (("setting", setting), ("from_", from_), ("to", to)))
    values = {name: value for name, value in all_values.items() if name not in SETUP}
    inside = {name: value for name, value in all_values.items() if name in SETUP}
    for name, value in inside.items():
        if told_from.get(name, value) != value:
            raise wrong(name, value, f"in the setting contradicts from_, which has {told_from[name]}")
    before = {**inside, **told_from}
    for name in before:
        if name not in SETUP:
            raise ConfigError(f"there is no key {name} in from_; the keys are {', '.join(SETUP)}", key=name)
    for name in told:
        if name not in (*SETUP, *TOLD):
            problem = f"no rule is known here for what changes with {name}; the keys are {', '.join((*SETUP, *TOLD))}"
            raise ConfigError(problem, key=name)
    if before.get("optimizer") is None:
        before["optimizer"] = "adamw" if "beta1" in values and "momentum" not in values else "sgd"
    _check(values, told)
    return values, Setup(**before), told


def _plain(key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise wrong(key, given, "must be a mapping from names to values")
    return {name: value for name, value in canonical_keys(given).items() if value is not None}


def _check(values: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Raise ConfigError for a hyperparameter that cannot be, or one of before that is missing."""
    if "lr" not in values:
        raise ConfigError("the setting has no lr, which everything else goes with; give it one", key="lr")
    for name, value in (*values.items(), *((name, told[name]) for name in told if name in TOLD)):
        if name in AVERAGES:
            require_number(name, value, 0, 1, below=True)
        elif name in CARRIED:
            require_number(name, value, 0, above=name in POSITIVE)
    for name in told:
        if name in TOLD and name not in values:
            raise missing(name)


def _require_order(change: Change, happening: tuple[str, ...]) -> None:
    """Raise ConfigError for another optimizer without a rule, or with something that both answer in their own way."""
    if "optimizer" not in happening:
        return
    old, new = change.before.optimizer, change.after.optimizer
    if not {old, new} <= MATCHED:
        raise wrong("optimizer", new, f"cannot be reached from {old}: no rule is known", remedy="tune it anew")
    if also := [name for name in happening if name in ("batch_size", "width", "lora_rank")]:
        problem = f"changes together with {also[0]}, to which the two optimizers answer differently"
        raise wrong("optimizer", new, problem, remedy="carry over in two steps, in the order that you mean")


def _groups(change: Change) -> list[list[Rule]]:
    """The rules that speak of the change, those of a group together, in the order of RULES."""
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in RULES:
        if rule.of in change.values and rule.of not in change.told and rule.speaks(change):
            found.setdefault(rule.group, []).append(rule)
    return list(found.values())


def _applied(rules: tuple[Rule, ...], change: Change) -> dict[str, float]:
    """The values after these rules, in their order."""
    now = {**change.values, **change.told}
    for rule in rules:
        now[rule.of] = rule.value(now[rule.of], change, now)
    return now


def _row(name: str, change: Change, new: Mapping[str, float], chosen: tuple[Rule, ...]) -> Row:
    return Row(name, change.values[name], new[name], tuple(rule for rule in chosen if rule.of == name))


def _others(
    groups: list[list[Rule]], chosen: tuple[Rule, ...], change: Change, new: Mapping[str, float]
) -> Iterator[Other]:
    """What each rule that was not chosen gives in place of its group's first."""
    for first, *rest in groups:
        for rule in rest:
            values = _applied(tuple(rule if one is first else one for one in chosen), change)
            differing = {
                name: value for name, value in values.items() if not math.isclose(value, new[name], rel_tol=1e-9)
            }
            if differing:
                yield Other(rule, first, differing)
