"""The symmetries and balances that the method is based on, tested with the trainer's own parts in float64.

With batch norm behind every convolution the loss does not depend on the length of the weights, so (w, lr, wd) →
(r·w, r²·lr, wd/r²) is the same run (https://myrtle.ai/learn/how-to-train-your-resnet-5-hyperparameters/). Float64 keeps
60 steps on real digits within 1e-13 of each other, far below the limit of 1e-8. Every symmetry is also broken on
purpose, to show that the test notices. Exactness needs what a real run lacks: no epsilon in batch norm, no gains and
biases (their decay is not invariant), a head that is not trained. The epsilon is 1e-300, which torch accepts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from flatdirs.training.data import Split, load
from flatdirs.training.device import cpu_threads
from flatdirs.training.model import ResidualNetwork, build_model
from flatdirs.training.optimizer import AdamW, Sgd, build_optimizer, set_learning_rate
from flatdirs.training.schedule import triangle
from flatdirs.training.task import DataConfig, ImageTask

CPU = torch.device("cpu")
STEPS = 60
BATCH = 16
SCALES = [1 / 3, 8.0]
SAME = 1e-8  # relative distance of outputs that counts as the same run
DIFFERENT = 0.05  # relative distance beyond which a run is certainly another one

Optimizing = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors: a second thread would only wait for the first."""
    with cpu_threads(1):
        yield


def sgd(
    parameters: Iterable[nn.Parameter],
    lr: float,
    momentum: float,
    wd: float,
    nesterov: bool = True,
) -> torch.optim.Optimizer:
    """The trainer's optimizer, or the heavy ball that the equations are written for."""
    rule = Sgd(nesterov=nesterov)
    return build_optimizer(nn.ParameterList(parameters), lr, momentum, wd, CPU, rule)


def adamw(parameters: Iterable[nn.Parameter], lr: float, wd: float, epsilon: float) -> torch.optim.Optimizer:
    """The trainer's AdamW."""
    return build_optimizer(nn.ParameterList(parameters), lr, 0.9, wd, CPU, AdamW(epsilon=epsilon))


def multiplier(step: int) -> float:
    """The trainer's default schedule over STEPS steps."""
    return triangle(step, STEPS)


@lru_cache(maxsize=1)
def digits() -> Split:
    """The digits task's training images, in float64."""
    file = Path(__file__).resolve().parents[1] / "conf" / "task" / "digits.yaml"
    train = load(ImageTask(**yaml.safe_load(file.read_text(encoding="utf-8"))), DataConfig(), CPU).train
    return Split(train.inputs.double(), train.labels)


def scale_free_network(scale: float) -> ResidualNetwork:
    """The trainer's network in float64, blind to the length of its convolutions' weights, which are `scale` times."""
    model = build_model(1, 10, 4, 0, CPU).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.weight, module.bias = 1e-300, None, None
        elif isinstance(module, nn.Conv2d):
            module.weight.data.mul_(scale)
    model.head.requires_grad_(False)
    return model.train()


@cache
def batches() -> list[Tensor]:
    """Which images each step sees."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(len(digits()), (BATCH,), generator=generator) for _ in range(STEPS)]


def outputs(scale: float, peak_rate: float, optimizing: Optimizing) -> Tensor:
    """Logits of 100 digits after STEPS steps on the schedule: (100, 10), float64."""
    model, split = scale_free_network(scale), digits()
    optimizer = optimizing([parameter for parameter in model.parameters() if parameter.requires_grad])
    for step, batch in enumerate(batches()):
        set_learning_rate(optimizer, peak_rate * multiplier(step))
        optimizer.zero_grad()
        cross_entropy(model(split.inputs[batch]), split.labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        logits: Tensor = model(split.inputs[:100])
    return logits


def distance(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖."""
    return float((found - expected).norm() / expected.norm())


@cache
def sgd_outputs(scale: float, lr: float, wd: float) -> Tensor:
    """A run with Nesterov momentum 0.9."""
    return outputs(scale, lr, lambda parameters: sgd(parameters, lr, 0.9, wd))


@cache
def adamw_outputs(scale: float, lr: float, wd: float, epsilon: float) -> Tensor:
    """A run with AdamW."""
    return outputs(scale, lr, lambda parameters: adamw(parameters, lr, wd, epsilon))


def test_the_runs_compared_do_train() -> None:
    """Otherwise equal outputs would say nothing: these are far from where they began."""
    logits = sgd_outputs(1.0, 0.1, 0.05)
    with torch.no_grad():
        before = scale_free_network(1.0)(digits().inputs[:100])
    labels = digits().labels[:100]
    assert float(cross_entropy(logits, labels)) < float(cross_entropy(before, labels)) - 0.4
    assert float((logits.argmax(dim=1) == labels).double().mean()) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("r", SCALES)
def test_sgd_sees_only_products_that_a_longer_weight_leaves_alone(r: float) -> None:
    """(w, lr, wd) → (r·w, r²·lr, wd/r²); with the old wd it is another run."""
    rate, decay = 0.1, 0.05
    plain = sgd_outputs(1.0, rate, decay)
    assert distance(sgd_outputs(r, rate * r**2, decay / r**2), plain) < SAME
    assert distance(sgd_outputs(r, rate * r**2, decay), plain) > DIFFERENT


@pytest.mark.slow
@pytest.mark.parametrize("c", SCALES)
def test_adamw_sees_only_products_that_a_longer_weight_leaves_alone(c: float) -> None:
    """(lr, wd, w₀, ε) → (c·lr, wd/c, c·w₀, ε/c), derived; with the old wd or ε it is another run.

    ε is large enough here to take part: at torch's 1e-8 its share is below the bar for a difference.
    """
    rate, decay, epsilon = 0.003, 1.0, 1e-3
    plain = adamw_outputs(1.0, rate, decay, epsilon)
    assert distance(adamw_outputs(c, rate * c, decay / c, epsilon / c), plain) < SAME
    assert distance(adamw_outputs(c, rate * c, decay, epsilon / c), plain) > DIFFERENT
    assert distance(adamw_outputs(c, rate * c, decay / c, epsilon), plain) > DIFFERENT


def direction_after(start: Tensor, target: Tensor, optimizer_of: Optimizing, scale: float) -> Tensor:
    """w/|w| after 20 steps down 1 − cos(w, target), which does not see the length of w."""
    weight = nn.Parameter(scale * start)
    optimizer = optimizer_of([weight])
    for _ in range(20):
        optimizer.zero_grad()
        (1 - cosine_similarity(weight, target, dim=0, eps=0.0)).backward()
        optimizer.step()
    return weight.detach() / weight.detach().norm()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0.05, 20),
    lr=st.floats(1e-3, 0.3),
    momentum=st.floats(0, 0.95),
    wd=st.floats(0, 0.1),
    nesterov=st.booleans(),
)
def test_any_scale_rate_momentum_and_decay_obey_the_symmetry(
    seed: int, scale: float, lr: float, momentum: float, wd: float, nesterov: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    start, target = torch.randn(2, 8, dtype=torch.float64, generator=generator)

    def after(r: float) -> Tensor:
        rate, decay = lr * r**2, wd / r**2
        return direction_after(start, target, lambda weights: sgd(weights, rate, momentum, decay, nesterov), r)

    assert torch.allclose(after(scale), after(1.0), rtol=0.0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "nesterov"])
@settings(max_examples=15)
@given(
    lr=st.floats(1e-4, 10),
    momentum=st.floats(0, 0.95),
    gradient=st.floats(-10, 10).filter(lambda value: abs(value) > 1e-3),
)
def test_one_gradient_enters_with_total_weight_learning_rate_over_one_minus_momentum(
    nesterov: bool, lr: float, momentum: float, gradient: float
) -> None:
    """λ(1 + ρ + ρ² + …) = λ/(1−ρ) at lr λ and momentum ρ; Nesterov takes λ(1+ρ), then λρ², λρ³ …: as much."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = sgd([weight], lr, momentum, 0.0, nesterov)
    first = math.nan
    for step in range(700):  # 0.95^700 is below 1e-15
        weight.grad = torch.full_like(weight, gradient if step == 0 else 0.0)
        optimizer.step()
        first = -weight.item() if step == 0 else first
    assert -weight.item() == pytest.approx(lr / (1 - momentum) * gradient, rel=1e-10)
    assert first == pytest.approx(lr * gradient * (1 + momentum if nesterov else 1), rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "nesterov"])
@pytest.mark.parametrize(("lr", "momentum", "wd"), [(0.1, 0.9, 0.005), (0.02, 0.9, 0.025), (0.2, 0.5, 0.02)])
def test_weight_norms_settle_where_steps_and_decay_balance(
    nesterov: bool, lr: float, momentum: float, wd: float
) -> None:
    """|w|⁴ → λG²/(2α(1−ρ)) at lr λ, momentum ρ, wd α, with G² the mean of |g|²|w|² (derived), also with Nesterov.

    The rows of one matrix are independent weights of a scale-free loss: gradients orthogonal to them, of length 1/|w|
    on average. For heavy ball the balance is exact up to a factor 1 + λα/(2(1+ρ)), here below 1.002. Half of the rows
    start at half the norm, half at twice; 10 time constants (1−ρ)/(4λα) bring them there, 6 more are averaged.
    """
    generator = torch.Generator().manual_seed(0)
    balance = (lr / (2 * wd * (1 - momentum))) ** 0.25  # for G = 1
    rows, columns = 64, 256
    weights = nn.Parameter(torch.randn(rows, columns, dtype=torch.float64, generator=generator))
    starts = torch.tensor([0.5, 2.0], dtype=torch.float64).repeat(rows // 2).unsqueeze(1)
    weights.data.mul_(starts * balance / weights.data.norm(dim=1, keepdim=True))
    optimizer = sgd([weights], lr, momentum, wd, nesterov)
    time_constant = round((1 - momentum) / (4 * lr * wd))
    squares, strengths = [], []
    for step in range(16 * time_constant):
        lengths = weights.data.norm(dim=1, keepdim=True)
        noise = torch.randn(rows, columns, dtype=torch.float64, generator=generator) / columns**0.5
        along = (noise * weights.data).sum(dim=1, keepdim=True) / lengths**2
        weights.grad = (noise - along * weights.data) / lengths
        if step >= 10 * time_constant:
            squares.append(lengths.square().mean())
            strengths.append((weights.grad.norm(dim=1, keepdim=True) * lengths).square().mean())
        optimizer.step()
    fourth_power = torch.stack(squares).mean() ** 2
    expected = lr * torch.stack(strengths).mean() / (2 * wd * (1 - momentum))
    assert float(fourth_power / expected) == pytest.approx(1.0, abs=0.02)
