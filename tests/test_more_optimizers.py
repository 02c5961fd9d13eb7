"""Muon, Schedule-Free and Prodigy: what they do to the weights, what they promise like all others, whole commands."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from flatdirs.errors import ConfigError, MissingExtra
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.data import load
from flatdirs.training.dataset import mean_loss
from flatdirs.training.gpt import build_gpt
from flatdirs.training.loop import train
from flatdirs.training.muon import Muon, hidden_matrices
from flatdirs.training.optimizer import AdamW, Optimizer, Sgd, build_optimizer, set_learning_rate
from flatdirs.training.packaged_optimizers import Prodigy, ScheduleFree
from flatdirs.training.run_config import CurvatureConfig, TrainConfig
from flatdirs.training.schedule import Constant, Cosine, Triangle
from flatdirs.training.self_tuning import Cdat
from flatdirs.tuning.probing import TaskBatches
from flatdirs.tuning.prodigy_start import prodigy_rate
from tests.conftest import Ended, composed, printed_command
from tests.refused import refused
from tests.test_text import CPU, QUICK, text_task
from tests.test_text import config as text_config
from tests.test_training_loop import config as digits
from tests.test_training_loop import measured, states_equal
from tests.test_training_parts import image_task

Command = Callable[..., Ended]
RULES = {
    "muon": {"optimizer": Muon(no_decay=True), "momentum": 0.9, "beta1": None, "lr": 0.02},
    "schedulefree": {"optimizer": ScheduleFree(), "schedule": Constant(0.5), "lr": 0.01},
    "prodigy": {"optimizer": Prodigy(), "schedule": Cosine(0.5), "lr": 1.0},
}
NAMES = tuple(RULES)


def text(name: str = "", **changes: object) -> TrainConfig:
    """A short run on a text with one of the rules."""
    task = text_task(train_characters=1024, validation_characters=256, batch_size=8, epochs=2)
    return text_config(task, **{"precision": "fp32", **RULES.get(name, {}), **changes})


def network() -> nn.Module:
    return build_gpt(20, context=8, width=16, depth=2, heads=4, seed=0, device=CPU)


def with_gradients(model: nn.Module, seed: int = 0) -> None:
    """The gradients of one batch."""
    codes = torch.randint(0, 20, (4, 9), generator=torch.Generator().manual_seed(seed))
    model.zero_grad()
    mean_loss(model(codes[:, :-1]), codes[:, 1:]).backward()  # type: ignore[no-untyped-call]


def test_muon_takes_the_matrices_of_hidden_layers_and_adamw_the_rest() -> None:
    model, twin = network(), network()
    rule = Muon(no_decay=True, adamw_lr=0.01, beta1=0.8, beta2=0.9)
    muon = build_optimizer(model, 0.05, 0.95, 0.1, CPU, rule)
    adamw = build_optimizer(twin, 0.01, 0.8, 0.1, CPU, AdamW(no_decay=True, beta2=0.9))
    for step, rate in enumerate((0.05, 0.025)):
        for one in (model, twin):
            with_gradients(one, step)
        if step:  # the same gradients, so that AdamW's part can be compared
            for one, other in zip(model.parameters(), twin.parameters(), strict=True):
                one.grad = other.grad.clone()  # type: ignore[union-attr]
        set_learning_rate(muon, rate)
        set_learning_rate(adamw, rate / 5)  # at the ratio of adamw_lr to the highest lr
        muon.step()
        adamw.step()
    hidden = {id(matrix) for matrix in hidden_matrices(model)}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in hidden}
    parts = ("attention.mix", "attention.project", "mlp.widen", "mlp.project")
    assert names == {f"blocks.{block}.{part}.weight" for block in (0, 1) for part in parts}
    for (name, one), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other) is (name not in names), name


@pytest.mark.parametrize(("scale", "factor"), [("original", 2.0), ("match_rms_adamw", 0.2 * 8.0)])
def test_an_update_of_muon_is_orthogonal_whatever_the_size_of_the_gradient(scale: str, factor: float) -> None:
    model = nn.Sequential(nn.Linear(16, 64, bias=False))
    before = model[0].weight.detach().clone()
    ends = []
    for size in (1e-3, 1e3):
        with torch.no_grad():
            model[0].weight.copy_(before)
        model[0].weight.grad = size * torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
        build_optimizer(model, 0.1, 0.95, 0.5, CPU, Muon(scale=scale)).step()
        update = ((1 - 0.1 * 0.5) * before - model[0].weight.detach()) / (0.1 * factor)
        values = torch.linalg.svdvals(update)
        assert 0.5 < values.min() <= values.max() < 1.5  # five Newton–Schulz steps get so near to 1
        ends.append(update)
    assert torch.allclose(ends[0], ends[1], atol=0.05)


def test_muon_goes_on_from_its_state() -> None:
    model, twin = network(), network()
    one, other = (build_optimizer(each, 0.05, 0.95, 0.1, CPU, Muon()) for each in (model, twin))
    for step in range(2):
        with_gradients(model, step)
        one.step()
    twin.load_state_dict(model.state_dict())
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for each, optimizer in ((model, one), (twin, other)):
        with_gradients(each, 7)
        optimizer.step()
    assert states_equal(model, twin)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_learn_repeat_to_the_bit_and_evaluating_changes_nothing(name: str) -> None:
    first, again = (train(text(name), keep_model=True) for _ in range(2))
    often = train(text(name, evaluate_every=5), keep_model=True)
    assert first.loss < first.epochs[0].train_loss < math.log(103)
    assert measured(first) == measured(again)
    assert states_equal(first.model, again.model)
    assert states_equal(first.model, often.model)
    assert (often.loss, often.steps) == (first.loss, first.steps)
    settings = text(name)
    judged = load(settings.task, settings.data, CPU).evaluation_set
    assert first.model is not None
    with torch.no_grad():
        assert mean_loss(first.model(judged.inputs), judged.labels).item() == pytest.approx(first.loss, rel=1e-5)


def test_the_weights_of_schedule_free_are_those_of_its_package() -> None:
    schedulefree = pytest.importorskip("schedulefree")
    settings = text("schedulefree", schedule=Constant())
    dataset = load(settings.task, settings.data, CPU)
    model = dataset.model(settings.task, 0, CPU)
    optimizer = schedulefree.AdamWScheduleFree(model.parameters(), lr=0.01, weight_decay=settings.wd)
    optimizer.train()
    for inputs, labels in TaskBatches(settings.task, dataset, 0, settings.images_per_step):
        optimizer.zero_grad()
        mean_loss(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    optimizer.eval()
    found = train(settings, keep_model=True).model
    assert found is not None
    for one, other in zip(found.parameters(), model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_schedule_free_has_statistics_of_batch_norm_for_the_weights_it_is_judged_by() -> None:
    task = image_task(train_images=300, validation_images=500, batch_size=16, width=4, epochs=5, pad=1)
    settings = digits(task, momentum=None, beta1=0.9, optimizer=ScheduleFree(), schedule=Constant(), lr=0.02)
    result = train(settings, keep_model=True)
    assert result.model is not None
    assert result.accuracy > 60
    kept = {name: own.clone() for name, own in result.model.named_buffers()}
    result.model.train()
    inputs = load(settings.task, settings.data, CPU).train.inputs
    with torch.no_grad():
        for _ in range(40):
            result.model(inputs)
    for name, own in result.model.named_buffers():
        assert torch.allclose(kept[name], own, rtol=0.3, atol=0.2), name


@pytest.mark.slow
def test_prodigy_finds_a_rate_that_is_adamws() -> None:
    task = text_task(train_characters=4096, validation_characters=256, batch_size=8, epochs=5)
    settings = text_config(task, optimizer=AdamW(beta2=0.99), lr=123.0, precision="fp32")
    found = prodigy_rate(settings)
    losses = [train(dataclasses.replace(settings, lr=times * found)).loss for times in (0.01, 1.0, 100.0)]
    assert min(losses) == losses[1]
    run = dataclasses.replace(settings, optimizer=Prodigy(beta2=0.99), lr=1.0)
    assert found == train(run).found_rate
    assert train(dataclasses.replace(settings, lr=found)).found_rate is None


def test_beta2_may_be_searched() -> None:
    recipe = {"schedule": Cosine(), "precision": "fp32", "threads": 1}
    task = text().task
    objective = ImageObjective(task, text().data, "cpu", optimizer=AdamW(beta2=0.5), **recipe)  # type: ignore[arg-type]
    point = {"lr": 0.01, "beta1": 0.9, "wd": 0.1}
    low, high = (objective.measure({**point, "beta2": beta2}, [0], lambda *_: None).loss for beta2 in (0.5, 0.999))
    assert low == objective.measure(point, [0], lambda *_: None).loss != high
    muon = ImageObjective(task, text().data, "cpu", optimizer=Muon(), **recipe)  # type: ignore[arg-type]
    point = {"lr": 0.02, "momentum": 0.9, "wd": 0.1}
    rates = [muon.measure({**point, **own}, [0], lambda *_: None).loss for own in ({}, {"adamw_lr": 0.03})]
    assert rates[0] != rates[1]
    with refused(ConfigError, "chart", "beta2"):
        muon.check({**point, "beta2": 0.9})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "muon":
        monkeypatch.delattr(torch.optim, "Muon")
        with refused(ConfigError, "optimizer", "torch"):
            train(text(name))
    else:
        monkeypatch.setitem(sys.modules, type(RULES[name]["optimizer"]).package, None)  # type: ignore[attr-defined]
        with refused(MissingExtra, "flatdirs[optimizers]"):
            train(text(name))


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: digits(optimizer=Muon()), "optimizer"),
    (lambda: build_optimizer(nn.Sequential(nn.Conv2d(1, 2, 3)), 0.1, 0.9, 0.0, CPU, Muon()), "optimizer"),
    (lambda: text("muon", lr=None, sigma=0.1, schedule=Cdat()), "schedule"),
    (lambda: text("schedulefree", schedule=Triangle()), "schedule"),
    (lambda: text("schedulefree", ema=0.9), "ema"),
    (lambda: train(text("schedulefree", beta1=0.0)), "beta1"),
    *((lambda name=name: text(name, curvature=CurvatureConfig(5)), "curvature.every") for name in NAMES),
    (lambda: text("muon", beta2=0.9), "beta2"),
    (lambda: text(adamw_lr=0.01), "adamw_lr"),
    (lambda: text("muon", adamw_lr=0.0), "optimizer.adamw_lr"),
    (lambda: text(beta2=1.0), "optimizer.beta2"),
    (lambda: Muon(scale="huge"), "optimizer.scale"),
    (lambda: Muon(rate_per_images=512), "optimizer.rate_per_images"),
    (lambda: Prodigy(d_coef=0.0), "optimizer.d_coef"),
    (lambda: prodigy_rate(digits(optimizer=Sgd())), "start.lr"),
]


@pytest.mark.parametrize(("make", "key"), WRONG)
def test_what_does_not_go_together_is_refused(make: Callable[[], object], key: str) -> None:
    with refused(ConfigError, key):
        make()


@pytest.mark.parametrize("optimizer", [Muon(), ScheduleFree(), Prodigy()], ids=lambda rule: rule.name)
def test_decay_timescales_do_not_count_the_momentum_of_an_update_without_a_scale(optimizer: Optimizer) -> None:
    config = text(optimizer.name, wd=0.1)
    rate = None if optimizer.name == "prodigy" else config.total_steps * config.peak_rate * 0.1
    assert config.decay_timescales == rate


def test_schedule_free_brings_a_constant_rate_along() -> None:
    assert composed("train", "optimizer=schedulefree")["schedule"]["name"] == "constant"
    on_text = composed("tune", "task=text", "optimizer=schedulefree")
    assert (on_text["schedule"]["name"], on_text["schedule"]["warmup_epochs"]) == ("constant", 0.6)
    assert (on_text["chart"]["name"], on_text["optimizer"]["beta2"]) == ("adamw", 0.999)
    assert composed("train", "optimizer=schedulefree", "schedule=cosine")["schedule"]["name"] == "cosine"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_search_hands_over_a_command_that_trains_again(name: str, workplace: Path, command: Command) -> None:
    words = ["task=text_small", *QUICK, f"optimizer={name}", "budget=2", "confirm=0", "precision=fp32"]
    ended = command("tune", *words)
    assert ended.code == 0, ended.err
    assert ("finds lr itself" in ended.out) is (name == "prodigy")
    best = yaml.safe_load((workplace / "studies/text_small-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert best["optimizer"]["name"] == name
    loss = float(re.search(r"best: run \d of 2, ([\d.]+) loss", ended.out)[1])  # type: ignore[index]
    for label in ("train with it", "or"):
        again = command(*printed_command(ended.out, label))
        assert float(re.search(r"loss ([\d.]+) after", again.out)[1]) == pytest.approx(loss, abs=1e-4)  # type: ignore[index]
    assert ("lr found by prodigy" in again.out) is (name == "prodigy")


@pytest.mark.slow
def test_a_search_starts_from_a_run_of_prodigy(workplace: Path, command: Command) -> None:
    words = ["task=text_small", *QUICK, "start=prodigy", "budget=1", "confirm=0", "precision=fp32"]
    ended = command("tune", *words)
    assert ended.code == 0, ended.err
    found = float(re.search(r"a run of Prodigy found lr=(\S+);", ended.out)[1])  # type: ignore[index]
    best = yaml.safe_load((workplace / "studies/text_small-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert best["lr"] == pytest.approx(found, rel=0.05)
    assert best["wd"] == pytest.approx(min(1.0, 1.0 / (32 * best["lr"])), rel=0.05)
    again = command("tune", *words[:-3], "budget=2", "confirm=0", "precision=fp32")
    assert "as found when the study began" in again.out
    refusal = command("tune", "task=text_small", *QUICK, "optimizer=sgd", "start=prodigy", "study=other")
    assert (refusal.code, refusal.err.count("\n")) == (2, 1)
    assert "start.lr" in refusal.err


@pytest.mark.slow
def test_the_finder_takes_muon_and_not_what_finds_its_rate(workplace: Path, command: Command) -> None:
    ended = command("find_lr", "task=text_small", "optimizer=muon", "steps=5", "validation_steps=4")
    assert ended.code == 0, ended.err
    assert "optimizer=muon" in printed_command(ended.out, "try it")
    refusal = command("find_lr", "task=text_small", "optimizer=prodigy")
    assert (refusal.code, refusal.err.count("\n")) == (2, 1)
    assert "optimizer=prodigy" in refusal.err
