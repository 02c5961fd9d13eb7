"""Carrying a setting over: what the rules hold fixed, that they undo and compose, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import flatdirs
from flatdirs.carrying.public_settings import carried_to, nearest, public_settings
from flatdirs.carrying.rules import RULES, SMALL_BATCH
from flatdirs.carrying.setup import Setup
from flatdirs.errors import ConfigError, FlatdirsError
from tests.refused import refused

SGD = {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
ADAMW = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "wd": 0.1}

rates = st.floats(1e-5, 10)
decays = st.floats(1e-6, 1)
momenta = st.floats(0, 0.99)
small = st.integers(1, SMALL_BATCH)
large = st.integers(SMALL_BATCH + 1, 10**6)
batches = st.integers(1, 10**6)
lengths = st.floats(1, 1000)
examples = st.integers(1, 10**7)


@st.composite
def setups(draw: st.DrawFn, batch: st.SearchStrategy[int] = batches) -> dict[str, Any]:
    """A setup in full, counted in epochs or in steps."""
    told: dict[str, Any] = {"batch_size": draw(batch)}
    if draw(st.booleans()):
        return {**told, "steps": draw(st.integers(1, 10**6))}
    return {**told, "epochs": draw(lengths), "examples": draw(examples)}


def steps(setup: Mapping[str, Any]) -> float:
    return float(setup["steps"] if "steps" in setup else setup["epochs"] * setup["examples"] / setup["batch_size"])


def complete(setup: Mapping[str, Any]) -> dict[str, Any]:
    """The same with an example count, which a change from steps to epochs needs."""
    return {"examples": 1000, **setup}


def carried(setting: Mapping[str, Any], before: Mapping[str, Any], to: Mapping[str, Any]) -> dict[str, Any]:
    return dict(flatdirs.carry_over(setting, before, to).setting)


@given(rates, momenta, decays, setups(), setups(), momenta)
def test_the_timescales_of_sgd_are_held_whatever_changes(
    lr: float, momentum: float, wd: float, before: dict[str, Any], after: dict[str, Any], told: float
) -> None:
    to = {**complete(after), "momentum": told}
    assume(complete(before) != complete(after))
    new = carried({"lr": lr, "momentum": momentum, "wd": wd}, complete(before), to)
    assert new["momentum"] == told
    timescales = steps(before) * lr * wd / (1 - momentum)
    assert steps(after) * new["lr"] * new["wd"] / (1 - told) == pytest.approx(timescales, rel=1e-9)


@given(st.sampled_from(["adamw", "muon"]), rates, decays, setups(), setups(), st.integers(8, 4096))
def test_the_timescales_of_decoupled_decay_are_held(
    optimizer: str, lr: float, wd: float, before: dict[str, Any], after: dict[str, Any], width: int
) -> None:
    told = {**complete(before), "optimizer": optimizer, "width": 256}
    assume(complete(before) != complete(after))
    result = flatdirs.carry_over({"lr": lr, "wd": wd}, told, {**complete(after), "width": width})
    held = steps(before) * lr * wd
    assert steps(after) * result.setting["lr"] * result.setting["wd"] == pytest.approx(held, rel=1e-9)
    for other in result.others:  # by the other rules too
        new = {**result.setting, **other.values}
        assert steps(after) * new["lr"] * new["wd"] == pytest.approx(held, rel=1e-9)


@given(st.sampled_from(["sgd", "adamw", "adam", "muon"]), setups(), setups())
def test_there_and_back_is_the_identity(optimizer: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = ({**complete(one), "optimizer": optimizer} for one in (before, after))
    assume(old != new)
    setting: dict[str, Any] = {**SGD, "ema": 0.999} if optimizer in ("sgd", "muon") else {**ADAMW, "ema": 0.999}
    ratio = new["batch_size"] / old["batch_size"]
    if max(ratio, 1 / ratio) * 0.1 >= 1:
        setting.pop("beta1", None)  # 1−beta1 ∝ batch size ends at 1
    assume(ratio < 1e3)  # 0.999^ratio would be 0 in floats
    there = carried(setting, old, new)
    assert carried(there, new, old) == pytest.approx(setting, rel=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd, small", "sgd, large", "adamw", "adam", "muon"])
@given(data=st.data())
def test_two_steps_are_as_one(data: st.DataObject, optimizer: str) -> None:
    name, _, regime = optimizer.partition(", ")
    batch = {"small": small, "large": large}.get(regime, batches)
    first, middle, last = (
        {**complete(data.draw(setups(batch))), "optimizer": name, "width": data.draw(st.integers(8, 4096))}
        for _ in range(3)
    )
    assume(first != middle and last not in (first, middle))
    setting = {"lr": 0.1, "wd": 0.01, "epsilon": 1e-8}
    once = carried(setting, first, last)
    assert carried(carried(setting, first, middle), middle, last) == pytest.approx(once, rel=1e-9)


@given(st.sampled_from(["adamw", "adam"]), batches, batches)
def test_no_rule_is_linear_for_adam(optimizer: str, old: int, new: int) -> None:
    assume(old != new)
    result = flatdirs.carry_over({"lr": 1e-3}, {"batch_size": old, "optimizer": optimizer}, {"batch_size": new})
    assert result.setting["lr"] == pytest.approx(1e-3 * math.sqrt(new / old))
    for other in result.others:
        assert abs(math.log(other.values["lr"] / 1e-3)) <= abs(math.log(new / old)) * 0.5 + 1e-9


@pytest.mark.parametrize(
    ("old", "new", "chosen", "lr", "wd", "other"),
    [
        (16, 64, "linear", 0.4, 5e-4, {"lr": 0.2, "wd": 1e-3}),
        (512, 2048, "square root", 0.2, 1e-3, {"lr": 0.4, "wd": 5e-4}),
        (512, 128, "square root", 0.05, 2.5e-4, {"lr": 0.025, "wd": 5e-4}),
    ],
)
def test_both_numbers_for_sgd_the_chosen_first(
    old: int, new: int, chosen: str, lr: float, wd: float, other: dict[str, float]
) -> None:
    result = flatdirs.carry_over(SGD, {"batch_size": old}, {"batch_size": new})
    assert result.setting == pytest.approx({"lr": lr, "momentum": 0.9, "wd": wd})
    rows = {row.name: row for row in result.rows}
    assert [rule.name for rule in rows["lr"].rules] == [chosen]
    (second,) = result.others
    assert {second.rule.name, second.chosen.name} == {"linear", "square root"}
    assert second.chosen.name == chosen
    assert second.values == pytest.approx(other)


def test_adamw_at_four_times_the_batch() -> None:
    result = flatdirs.carry_over(ADAMW, {"batch_size": 64, "epochs": 3}, {"batch_size": 256})
    new = {"lr": 2e-3, "beta1": 0.6, "beta2": 0.999**4, "epsilon": 5e-9, "wd": 0.2}
    assert result.setting == pytest.approx(new)
    others = {(other.rule.name, other.rule.of): other.values for other in result.others}
    assert others["constant beta1", "beta1"] == {"beta1": 0.9}
    assert others["square root", "beta2"] == pytest.approx({"beta2": 0.996})
    lr = 1e-3 * 4**0.3
    assert others["language-model grids", "lr"] == pytest.approx({"lr": lr, "wd": 0.1 * 4e-3 / lr})


def test_a_beta1_that_no_batch_allows_stays_and_that_is_said() -> None:
    result = flatdirs.carry_over(ADAMW, {"batch_size": 64}, {"batch_size": 64 * 16})
    assert result.setting["beta1"] == 0.9
    assert any("beta1" in sentence for sentence in result.not_covered)


def test_a_momentum_or_beta1_that_is_told_is_taken_as_it_is() -> None:
    new = carried(ADAMW, {"batch_size": 64}, {"batch_size": 256, "beta1": 0.95})
    assert (new["beta1"], new["lr"]) == (0.95, pytest.approx(2e-3))
    assert carried(ADAMW, {"batch_size": 64}, {"batch_size": 256, "beta1": 0.9})["beta1"] == 0.9
    assert carried(SGD, {"batch_size": 8}, {"batch_size": 16, "momentum": 0.8})["lr"] == pytest.approx(0.4)


def test_length_data_and_momentum() -> None:
    assert carried(SGD, {"epochs": 90}, {"epochs": 30}) == pytest.approx({**SGD, "wd": 1.5e-3})
    assert carried(SGD, {"examples": 1000, "epochs": 5}, {"examples": 2000}) == pytest.approx({**SGD, "wd": 2.5e-4})
    assert carried(SGD, {"steps": 100}, {"steps": 400}) == pytest.approx({**SGD, "wd": 1.25e-4})
    told = {"epochs": 10, "examples": 1000, "batch_size": 10}
    assert carried(SGD, told, {"steps": 2000}) == pytest.approx({**SGD, "wd": 2.5e-4})
    halved = {"lr": 0.05, "momentum": 0.95, "wd": 5e-4}
    assert carried(SGD, {}, {"momentum": 0.95}) == pytest.approx(halved)
    assert carried(SGD, {"optimizer": "muon"}, {"momentum": 0.95}) == {**SGD, "momentum": 0.95}
    bound = flatdirs.carry_over(SGD, {"epochs": 25}, {"epochs": 100}).others[0]
    assert bound.values == pytest.approx({"lr": 0.05, "wd": 2.5e-4})


def test_kept_steps_are_said_to_see_other_data() -> None:
    result = flatdirs.carry_over(SGD, {"steps": 1000, "batch_size": 512}, {"batch_size": 2048})
    assert result.after.steps == 1000
    assert any("steps=250" in sentence for sentence in result.not_covered)
    assert result.setting["lr"] * result.setting["wd"] == pytest.approx(0.1 * 5e-4)


def test_averaged_weights_rank_and_width() -> None:
    ema = carried({**SGD, "ema": 0.99}, {"batch_size": 256}, {"batch_size": 512})["ema"]
    assert ema == pytest.approx(0.99**2)
    lora = {"lr": 2e-4, "beta1": 0.9, "lora_alpha": 32}
    result = flatdirs.carry_over(lora, {"lora_rank": 4}, {"lora_rank": 16})
    assert result.setting == pytest.approx({**lora, "lora_alpha": 64})
    assert [other.values for other in result.others] == [{"lora_alpha": 32}]
    assert carried({"lr": 2e-4, "beta1": 0.9}, {"lora_rank": 4}, {"lora_rank": 16})["lr"] == pytest.approx(4e-4)
    wide = carried({"lr": 1e-3, "wd": 0.1, "beta1": 0.9}, {"width": 64}, {"width": 256})
    assert wide == pytest.approx({"lr": 2.5e-4, "wd": 0.4, "beta1": 0.9})
    for words in ({"width": 64}, {"lora_rank": 4}):
        (name,) = words
        stays = flatdirs.carry_over(SGD, words, {name: 8})
        assert stays.setting == SGD
        assert any("no rule" in sentence for sentence in stays.not_covered)


def test_optimizers_between_which_a_rule_is_known() -> None:
    setting = {"lr": 1e-3, "beta1": 0.9, "wd": 0.1}
    for old, new in (("adamw", "muon"), ("muon", "adamw")):
        result = flatdirs.carry_over(setting, {"optimizer": old}, {"optimizer": new})
        assert result.setting == setting
        assert any("match_rms_adamw" in rule.formula for row in result.rows for rule in row.rules)
    muon = flatdirs.carry_over(SGD, {"optimizer": "muon", "batch_size": 8}, {"batch_size": 16})
    assert muon.setting == pytest.approx({**SGD, "wd": 1e-3})
    assert [sentence for sentence in muon.not_covered if "muon" in sentence]
    adam = flatdirs.carry_over(ADAMW, {"optimizer": "adam", "epochs": 1}, {"epochs": 2})
    assert adam.setting["wd"] == ADAMW["wd"]
    assert any("wd" in sentence for sentence in adam.not_covered)


def test_what_no_rule_speaks_of_stays_and_is_named() -> None:
    setting = {"learning_rate": 0.1, "dropout": 0.3, "batch_size": 512}
    result = flatdirs.carry_over(setting, {}, {"batch_size": 1024})
    assert result.setting == pytest.approx({"lr": 0.1 * math.sqrt(2), "dropout": 0.3, "batch_size": 1024})
    assert any("dropout" in sentence for sentence in result.not_covered)
    untold = flatdirs.carry_over({"lr": 1e-3, "beta1": 0.9}, {"batch_size": 1}, {"batch_size": 2})
    assert any("beta2" in sentence and "epsilon" in sentence for sentence in untold.not_covered)


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "batch 0": (SGD, {"batch_size": 8}, {"batch_size": 0}, "batch_size"),
    "a batch before of 0": (SGD, {"batch_size": 0}, {"batch_size": 8}, "batch_size"),
    "half an example": (SGD, {"examples": 8}, {"examples": 8.5}, "examples"),
    "rank 0": (ADAMW, {"lora_rank": 4}, {"lora_rank": 0}, "lora_rank"),
    "no epochs": (SGD, {"epochs": 4}, {"epochs": 0}, "epochs"),
    "an optimizer without a rule": (SGD, {"optimizer": "sgd"}, {"optimizer": "adamw"}, "optimizer"),
    "an unknown optimizer": (SGD, {"optimizer": "lion"}, {"epochs": 2}, "optimizer"),
    "nothing": (SGD, {"batch_size": 8}, {}, "to"),
    "nothing that changes": (SGD, {"batch_size": 8}, {"batch_size": 8}, "batch_size"),
    "no batch size before": (SGD, {}, {"batch_size": 8}, "batch_size"),
    "no epochs before": (SGD, {"batch_size": 8}, {"epochs": 8}, "epochs"),
    "no examples for steps": (SGD, {"batch_size": 8, "epochs": 3}, {"steps": 8}, "examples"),
    "no momentum before": ({"lr": 0.1}, {}, {"momentum": 0.9}, "momentum"),
    "an unknown key": (SGD, {"batch_size": 8}, {"batchsize_": 8}, "batchsize_"),
    "an unknown key before": (SGD, {"bath_size": 8}, {"batch_size": 8}, "bath_size"),
    "epochs and steps": (SGD, {"epochs": 8, "steps": 8}, {"batch_size": 8}, "steps"),
    "no lr": ({"wd": 0.1}, {"epochs": 1}, {"epochs": 2}, "lr"),
    "momentum 1": ({"lr": 0.1, "momentum": 1.0}, {"epochs": 1}, {"epochs": 2}, "momentum"),
    "negative wd": ({"lr": 0.1, "wd": -1.0}, {"epochs": 1}, {"epochs": 2}, "wd"),
    "two batch sizes before": ({"lr": 0.1, "batch_size": 4}, {"batch_size": 8}, {"batch_size": 2}, "batch_size"),
    "optimizer and batch size": (
        ADAMW, {"optimizer": "adamw", "batch_size": 4}, {"optimizer": "muon", "batch_size": 2}, "optimizer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused(name: str) -> None:
    setting, before, to, key = WRONG[name]
    with refused(ConfigError, key):
        flatdirs.carry_over(setting, before, to)


def test_every_rule_is_chosen_or_told_beside_another() -> None:
    seen = set()
    for optimizer in ("sgd", "adamw", "adam", "muon"):
        for setting in (SGD, ADAMW, {**ADAMW, "lora_alpha": 16}, {"lr": 0.1, "ema": 0.9}):
            for before, to in (
                ({"batch_size": 8}, {"batch_size": 16}), ({"batch_size": 256}, {"batch_size": 512}),
                ({"width": 8}, {"width": 16}), ({"lora_rank": 8}, {"lora_rank": 16}), ({"epochs": 8}, {"epochs": 16}),
                ({}, {"momentum": 0.95}), ({}, {"beta1": 0.95}), ({}, {"optimizer": "muon"}),
            ):  # fmt: skip
                try:
                    found = flatdirs.carry_over(setting, {**before, "optimizer": optimizer}, to)
                except FlatdirsError:
                    continue
                seen |= {id(rule) for row in found.rows for rule in row.rules}
                seen |= {id(other.rule) for other in found.others}
    assert [rule.name for rule in RULES if id(rule) not in seen] == []


def test_rules_say_what_they_rest_on() -> None:
    for rule in RULES:
        assert rule.rests_on.startswith(("found, https://", "derived, https://", "ours, "))
        assert rule.formula
        assert rule.why


def test_public_settings_have_links_and_are_none_of_our_lattices() -> None:
    known = public_settings()
    assert len({one.name for one in known}) == len(known) >= 10
    for one in known:
        assert one.link.startswith("https://")
        assert "digits" not in one.name.lower()
        assert "cifar-10 " not in f"{one.name.lower()} "
        assert one.setup.total_steps() > 1000


@pytest.mark.parametrize(("kind", "optimizer"), [("images", "sgd"), ("images", "adamw"), ("text", "adamw")])
def test_the_nearest_public_setting_is_carried_over_whole(kind: str, optimizer: str) -> None:
    for one in public_settings():
        if (one.kind, one.optimizer) == (kind, optimizer):
            assert nearest(kind, one.setup) == one
    setup = Setup(optimizer, 512, steps=2000, width=64)
    entry = nearest(kind, setup)
    assert entry is not None
    new = carried_to(entry, setup, {}).setting
    held = entry.setup.total_steps() * entry.setting["lr"] * entry.setting["wd"]
    assert 2000 * new["lr"] * new["wd"] == pytest.approx(held)
    assert nearest("text", Setup("sgd", 512, steps=2000)) is None
