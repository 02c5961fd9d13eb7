"""Update rules: their equations, the scaling rule, and what does not decay."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flatdirs.config.tune import read_optimizer
from flatdirs.errors import ConfigError
from flatdirs.resources import conf_folder
from flatdirs.setting_checks import describe
from flatdirs.training.model import build_model
from flatdirs.training.optimizer import OPTIMIZERS, AdamW, Optimizer, Sgd, build_optimizer, set_learning_rate
from tests.refused import refused

CPU = torch.device("cpu")
FILES = sorted((conf_folder() / "optimizer").glob("*.yaml"))
RATES = (0.5, 0.25, 0.125)


def gradients() -> list[torch.Tensor]:
    """One per rate."""
    return [torch.tensor([1.0, 2.0]) * (-1) ** step + step for step in range(len(RATES))]


def walked(optimizer: Optimizer, momentum: float, wd: float = 0.1) -> torch.Tensor:
    """Where two weights end after steps with given gradients and rates."""
    weight = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    built = build_optimizer(torch.nn.ParameterList([weight]), 1.0, momentum, wd, CPU, optimizer)
    for rate, gradient in zip(RATES, gradients(), strict=True):
        set_learning_rate(built, rate)
        weight.grad = gradient.clone()
        built.step()
    return weight.detach()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_an_optimizer_with_documented_keys(file: Path) -> None:
    lines, settings = file.read_text(encoding="utf-8").splitlines(), yaml.safe_load(file.read_text(encoding="utf-8"))
    optimizer = read_optimizer(settings)
    assert optimizer == OPTIMIZERS[file.stem](), "the file has the defaults of the class"
    assert describe(optimizer) == settings
    assert lines[0].startswith("# ")
    assert all("  # " in line for line in lines[1:])
    assert {file.stem for file in FILES} == set(OPTIMIZERS)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_follows_its_equations(momentum: float, nesterov: bool) -> None:
    expected, velocity = torch.tensor([2.0, -1.0]), torch.zeros(2)
    for rate, gradient in zip(RATES, gradients(), strict=True):
        decayed = gradient + 0.1 * expected
        velocity = momentum * velocity + decayed
        expected = expected - rate * (decayed + momentum * velocity if nesterov else velocity)
    assert torch.allclose(walked(Sgd(nesterov=nesterov), momentum), expected)


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_adamw_follows_its_equations(beta1: float) -> None:
    beta2, epsilon = 0.95, 1e-3
    expected, mean, square = torch.tensor([2.0, -1.0]), torch.zeros(2), torch.zeros(2)
    for step, (rate, gradient) in enumerate(zip(RATES, gradients(), strict=True), start=1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        centred, scaled = mean / (1 - beta1**step), square / (1 - beta2**step)
        expected = expected - rate * (centred / (scaled.sqrt() + epsilon) + 0.1 * expected)
    assert torch.allclose(walked(AdamW(beta2=beta2, epsilon=epsilon), beta1), expected)


@given(rate=st.floats(1e-4, 1.0), decay=st.floats(1e-6, 0.9))
def test_decoupled_decay_takes_the_part_rate_times_decay_and_no_more(rate: float, decay: float) -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    built = build_optimizer(torch.nn.ParameterList([weight]), rate, 0.9, decay, CPU, AdamW())
    weight.grad = torch.zeros(1, dtype=torch.float64)
    built.step()
    assert weight.item() == pytest.approx(2.0 * (1 - rate * decay))


@pytest.mark.parametrize("optimizer", [Sgd(no_decay=True), AdamW(no_decay=True), Sgd(), AdamW()], ids=str)
def test_no_decay_spares_biases_and_norms_alone(optimizer: Optimizer) -> None:
    model = build_model(1, 10, 2, 0, CPU)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    build_optimizer(model, 0.5, 0.9, 0.1, CPU, optimizer).step()
    for name, parameter in model.named_parameters():
        spared = optimizer.no_decay and ("norm" in name or name.endswith("bias"))
        assert bool((parameter == 1.0).all()) is spared, name
    assert any("norm" in name for name, _ in model.named_parameters())


def test_velocities_begin_as_zeros() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    state = build_optimizer(torch.nn.ParameterList([weight]), 1.0, 0.9, 0.0, CPU).state[weight]
    assert torch.equal(state["momentum_buffer"], torch.zeros(3))


def test_the_linear_scaling_rule() -> None:
    assert Sgd().peak_rate(0.4, 64) == 0.4
    assert Sgd(rate_per_images=512).peak_rate(0.4, 512) == 0.4
    assert AdamW(rate_per_images=512).peak_rate(0.4, 128) == 0.1


WRONG = [
    (Sgd, "nesterov", "yes"),
    (Sgd, "no_decay", 1),
    (Sgd, "rate_per_images", 0),
    (Sgd, "rate_per_images", 0.5),
    (AdamW, "beta2", 1),
    (AdamW, "epsilon", -1e-8),
    (AdamW, "epsilon", math.inf),
]


@pytest.mark.parametrize(("kind", "key", "value"), WRONG)
def test_a_wrong_setting_is_refused(kind: type[Optimizer], key: str, value: object) -> None:
    with refused(ConfigError, f"optimizer.{key}"):
        kind(**{key: value})
