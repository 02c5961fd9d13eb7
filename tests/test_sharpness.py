"""Sharpness by a dense eigendecomposition, edges of stability by bisection, and the log of both."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import flatdirs
from flatdirs.curvature.hessian_products import flat, hessian_products
from flatdirs.curvature.stability import (
    Rule,
    adam,
    coupled_decay,
    heavy_ball,
    nesterov,
    preconditioner,
    register_rule,
)
from flatdirs.errors import CurvatureError
from tests.refused import refused

Batch = tuple[Tensor, Tensor]
NOTHING: Batch = (torch.zeros(1), torch.zeros(1))


class Point(nn.Module):
    """A model that is its own output: with a quadratic loss its Hessian is known."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(values)

    def forward(self, _: Tensor) -> Tensor:
        return self.w


def quadratic(curvatures: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """½ Σ λ w²."""
    return lambda w, _: 0.5 * (curvatures * w * w).sum()


def perceptron() -> tuple[nn.Module, Batch]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    return model, (torch.randn(20, 6, dtype=torch.float64), torch.randint(3, (20,)))


def convolutional() -> tuple[nn.Module, Batch]:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    ).double()
    return model, (torch.randn(24, 1, 8, 8, dtype=torch.float64), torch.randint(3, (24,)))


MODELS = [perceptron, convolutional]


def dense_hessian(model: nn.Module, batch: Batch) -> Tensor:
    """The whole matrix, by torch's own function."""
    names = [name for name, _ in model.named_parameters()]
    values = tuple(parameter.detach().clone() for parameter in model.parameters())
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def loss(*parameters: Tensor) -> Tensor:
        state = {**dict(zip(names, parameters, strict=True)), **buffers}
        return cross_entropy(torch.func.functional_call(model, state, (batch[0],)), batch[1])

    blocks = torch.autograd.functional.hessian(loss, values)
    rows = [torch.cat([b.reshape(v.numel(), -1) for b in row], 1) for row, v in zip(blocks, values, strict=True)]
    return torch.cat(rows)


def trained(model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def same_ray(one: Tensor, other: Tensor) -> bool:
    return abs(float(one @ other)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("build", MODELS)
def test_it_is_the_top_of_the_dense_spectrum(build: Callable[[], tuple[nn.Module, Batch]]) -> None:
    model, batch = build()
    values, vectors = torch.linalg.eigh(dense_hessian(model, batch))
    found = flatdirs.sharpness(model, cross_entropy, batch)
    assert found.value == pytest.approx(float(values[-1]), rel=1e-6)
    assert same_ray(found.vector, vectors[:, -1])
    assert found.residual < 2e-8
    assert found.loss == pytest.approx(cross_entropy(model(batch[0]), batch[1]).item())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.Adam, {"weight_decay": 0.1, "betas": (0.0, 0.9), "eps": 1e-2}),
        (torch.optim.Adam, {"amsgrad": True, "betas": (0.0, 0.9), "eps": 1e-2}),
        (torch.optim.AdamW, {"weight_decay": 0.1, "betas": (0.0, 0.9), "eps": 1e-2}),
        (torch.optim.RMSprop, {"weight_decay": 0.1, "eps": 1e-2}),
        (torch.optim.RMSprop, {"centered": True, "eps": 1e-2}),
        (torch.optim.SGD, {"weight_decay": 0.1}),
    ],
)
def test_it_is_the_top_of_what_the_optimizer_sees(kind: Any, settings: dict[str, Any]) -> None:
    """P is read off the optimizer's own step: without momentum a step is −ηP⁻¹g, g with its coupled decay."""
    model, batch = convolutional()
    optimizer = kind(model.parameters(), lr=0.01, **settings)
    trained(model, batch, optimizer)
    decoupled = kind is torch.optim.AdamW
    before = flat(list(model.parameters()))
    trained(model, batch, optimizer, 1)
    decay = settings.get("weight_decay", 0.0)
    gradient = flat([p.grad for p in model.parameters()]) + (0 if decoupled else decay * before)
    step = before * (1 - 0.01 * decay if decoupled else 1) - flat(list(model.parameters()))
    diagonal = preconditioner(optimizer)
    scale = torch.ones_like(before) if diagonal is None else flat([diagonal[p] for p in model.parameters()])
    assert torch.allclose(scale * step, 0.01 * gradient, atol=1e-9)
    hessian = dense_hessian(model, batch)
    hessian += torch.eye(len(hessian)) * (0 if decoupled else decay)
    value = torch.linalg.eigvals(hessian / scale[:, None]).real.max()  # of P⁻¹H itself
    found = flatdirs.sharpness(
        model, cross_entropy, batch, preconditioner=diagonal, weight_decay=coupled_decay(optimizer)
    )
    assert found.value == pytest.approx(float(value), rel=1e-6)


def test_the_largest_is_not_the_largest_in_magnitude() -> None:
    curvatures = torch.cat([-torch.linspace(0, 100, 60), torch.linspace(0, 3, 40)]).double()
    model = Point(torch.ones(100, dtype=torch.float64))
    found = flatdirs.sharpness(model, quadratic(curvatures), NOTHING)
    assert found.value == pytest.approx(3, rel=1e-8)
    assert abs(float(found.vector[-1])) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("sizes", [[10.0, 1.0, 0.1], [-5.0], [-1.0] * 40, [0.0] * 40, [2.0] * 40])
def test_spectra_that_break_krylov_spaces(sizes: list[float]) -> None:
    curvatures = torch.tensor(sizes, dtype=torch.float64)
    found = flatdirs.sharpness(Point(torch.ones_like(curvatures)), quadratic(curvatures), NOTHING)
    assert found.value == pytest.approx(max(sizes), abs=1e-12)
    assert float(found.vector.norm()) == pytest.approx(1)


def test_a_warm_start_needs_fewer_products() -> None:
    model, batch = perceptron()
    cold = flatdirs.sharpness(model, cross_entropy, batch, tolerance=1e-3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.001)
    again = flatdirs.sharpness(model, cross_entropy, batch, tolerance=1e-3)
    warm = flatdirs.sharpness(model, cross_entropy, batch, tolerance=1e-3, start=cold)
    assert warm.value == pytest.approx(again.value, rel=1e-4)
    assert warm.products < again.products
    assert float(warm.vector @ cold.vector) > 0.99  # the sign goes on as well


def test_a_warm_start_leaves_an_eigenvector_that_was_overtaken() -> None:
    curvatures = torch.cat([torch.linspace(0, 0.5, 500), torch.tensor([0.9, 1.0])]).double()
    model = Point(torch.ones_like(curvatures))
    before = flatdirs.sharpness(model, quadratic(curvatures), NOTHING)
    curvatures[-2] = 1.1
    after = flatdirs.sharpness(model, quadratic(curvatures), NOTHING, start=before, tolerance=1e-3)
    assert after.value == pytest.approx(1.1, rel=1e-5)


def test_float32_is_known_to_its_tolerance() -> None:
    model, batch = perceptron()
    exact = flatdirs.sharpness(model, cross_entropy, batch).value
    single = flatdirs.sharpness(model.float(), cross_entropy, (batch[0].float(), batch[1]))
    assert single.tolerance == 1e-3
    assert single.residual < 2e-3
    assert single.value == pytest.approx(exact, rel=1e-4)
    assert single.vector.dtype == torch.float32


def test_a_budget_that_is_too_small_is_told_by_the_residual() -> None:
    curvatures = torch.linspace(0, 1, 3000, dtype=torch.float64)
    model = Point(torch.ones_like(curvatures))
    found = flatdirs.sharpness(model, quadratic(curvatures), NOTHING, max_products=150)
    assert found.products < 200
    assert found.tolerance == 1e-8 < found.residual < 1e-2
    assert abs(found.value - 1) < found.residual
    with refused(CurvatureError, "max_products"):
        flatdirs.sharpness(model, quadratic(curvatures), NOTHING, max_products=1)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("piece_size", [None, 7])
def test_it_leaves_no_trace(mode: bool, piece_size: int | None) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 30), nn.BatchNorm1d(30), nn.Dropout(), nn.ReLU(), nn.Linear(30, 2)).train(mode)
    batch = torch.randn(21, 5), torch.randint(2, (21,))
    cross_entropy(model(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
    before = {name: value.clone() for name, value in model.state_dict(keep_vars=False).items()}
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    state = torch.get_rng_state()
    flatdirs.sharpness(model, cross_entropy, batch, piece_size=piece_size)
    assert model.training is mode
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True) if p.grad is not None)


@pytest.mark.parametrize("piece_size", [None, 7])
def test_all_products_have_one_dropout_mask(piece_size: int | None) -> None:
    """Otherwise no symmetric matrix stands behind them: uᵀHv = vᵀHu, and twice the same is the same."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 30), nn.Dropout(), nn.Tanh(), nn.Linear(30, 2)).double()
    batch = torch.randn(20, 5, dtype=torch.float64), torch.randint(2, (20,))
    with hessian_products(model, cross_entropy, batch, piece_size=piece_size) as products:
        u, v = torch.randn(2, products.size, dtype=torch.float64)
        first = products(u)
        assert float(v @ first) == pytest.approx(float(u @ products(v)), rel=1e-10)
        assert torch.equal(first, products(u))


def test_pieces_add_up_to_the_batch() -> None:
    model, batch = perceptron()
    whole = flatdirs.sharpness(model, cross_entropy, batch)
    pieces = flatdirs.sharpness(model, cross_entropy, batch, piece_size=6)  # 6 + 6 + 6 + 2
    assert pieces.value == pytest.approx(whole.value, rel=1e-7)
    assert pieces.loss == pytest.approx(whole.loss)


def test_other_batches_and_frozen_or_unused_parameters() -> None:
    model, batch = perceptron()
    plain = flatdirs.sharpness(model, cross_entropy, batch).value
    model.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))  # type: ignore[assignment]
    mapped = flatdirs.sharpness(model, lambda o, b: cross_entropy(o, batch[1]), {"input": batch[0]})
    assert mapped.value == pytest.approx(plain)
    closed = flatdirs.sharpness(model, None, batch, closure=lambda m, b: cross_entropy(m(b[0]), b[1]))
    assert closed.value == pytest.approx(plain)
    model[0].requires_grad_(False)  # type: ignore[index]
    fewer = flatdirs.sharpness(model, cross_entropy, batch)
    assert fewer.value < plain
    assert len(fewer.vector) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.slow  # torch's compiler takes seconds to import
def test_a_compiled_model_is_measured_as_it_was_written() -> None:
    model, batch = perceptron()
    plain = flatdirs.sharpness(model, cross_entropy, batch).value
    assert flatdirs.sharpness(torch.compile(model), cross_entropy, batch).value == pytest.approx(plain)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"loss": None}, "loss"),
        ({"loss": cross_entropy, "closure": len}, "loss"),
        ({"loss": lambda o, t: o}, "loss"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"piece_size": 0}, "piece_size"),
        ({"preconditioner": {}}, "preconditioner"),
        ({"loss": lambda o, t: (o * math.nan).sum() ** 2}, "model"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, Any], key: str) -> None:
    model, batch = perceptron()
    with refused(CurvatureError, key):
        flatdirs.sharpness(model, **{"loss": cross_entropy, "batch": batch, **arguments})


def test_a_start_of_another_model_and_a_frozen_model_are_refused() -> None:
    model, batch = perceptron()
    other = flatdirs.sharpness(Point(torch.ones(3)), quadratic(torch.ones(3)), NOTHING)
    with refused(CurvatureError, "start"):
        flatdirs.sharpness(model, cross_entropy, batch, start=other)
    with refused(CurvatureError, "model"):
        flatdirs.sharpness(model.requires_grad_(False), cross_entropy, batch)


# ---- the edge of stability

RATE, DENOMINATOR = 0.3, 2.5


def sgd(parameter: nn.Parameter, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter], lr=RATE, **settings)


def frozen_rmsprop(parameter: nn.Parameter, **settings: Any) -> torch.optim.Optimizer:
    """Torch's RMSprop whose average never moves (α = 1): P is DENOMINATOR."""
    optimizer = torch.optim.RMSprop([parameter], lr=RATE, alpha=1.0, eps=0.5, **settings)
    square = torch.full_like(parameter, (DENOMINATOR - 0.5) ** 2)
    momentum = torch.zeros_like(parameter)
    optimizer.state[parameter] = {"step": torch.tensor(0.0), "square_avg": square, "momentum_buffer": momentum}
    return optimizer


RULES: dict[str, tuple[Callable[[nn.Parameter], torch.optim.Optimizer], float]] = {
    "gradient descent": (sgd, 2 / RATE),
    "heavy ball": (lambda p: sgd(p, momentum=0.9), 2 * 1.9 / RATE),
    "dampened": (lambda p: sgd(p, momentum=0.5, dampening=0.25), 2 * 1.5 / 0.75 / RATE),
    "Nesterov": (lambda p: sgd(p, momentum=0.9, nesterov=True), 2 * 1.9 / 2.8 / RATE),
    "RMSprop": (frozen_rmsprop, 2 / RATE),
    "RMSprop with momentum": (lambda p: frozen_rmsprop(p, momentum=0.8), 2 * 1.8 / RATE),
}


def grows(build: Callable[[nn.Parameter], torch.optim.Optimizer], curvature: float) -> bool:
    """Whether steps on ½λw² grow: the largest |w| of the last quarter against that of the quarter before."""
    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer, sizes = build(weight), []
    for _ in range(400):
        weight.grad = curvature * weight.detach()
        optimizer.step()
        sizes.append(abs(weight.item()))
    return max(sizes[300:]) > max(sizes[200:300])


@pytest.mark.parametrize("name", RULES)
def test_steps_of_torchs_optimizers_grow_above_the_edge_only(name: str) -> None:
    """Adam's edge is tested with its recurrence below, and with CDAT's Adam, which is torch's."""
    build, edge = RULES[name]
    optimizer = build(weight := nn.Parameter(torch.ones((), dtype=torch.float64)))
    assert flatdirs.edge_of_stability(optimizer) == pytest.approx(edge)
    diagonal = preconditioner(optimizer)
    scale = 1.0 if diagonal is None else float(diagonal[weight])
    assert scale == pytest.approx(1.0 if diagonal is None else DENOMINATOR)
    assert not grows(build, 0.998 * edge * scale)
    assert grows(build, 1.002 * edge * scale)


@given(momentum=st.floats(0, 0.999), dampening=st.floats(0, 0.9), other=st.floats(1.001, 3))
def test_the_edge_is_where_the_recurrence_loses_its_stability(momentum: float, dampening: float, other: float) -> None:
    """The spectral radius of (w, v) → (w', v') with v' = ρv + (1−τ)xw, x = ηλ: above 1 beyond the edge alone."""
    group = {"momentum": momentum, "dampening": dampening, "betas": (momentum, 0.9)}

    def radius(x: float, kept: float, ahead: bool) -> float:
        """`kept`: what of the gradient the velocity takes; `ahead`: torch's Nesterov."""
        velocity = [kept * x, momentum]
        step = [x + momentum * velocity[0], momentum * velocity[1]] if ahead else velocity
        return float(abs(np.linalg.eigvals(np.array([[1 - step[0], -step[1]], velocity]))).max())

    for edge, kept, ahead in (
        (heavy_ball(group), 1 - dampening if momentum else 1.0, False),
        (nesterov(group), 1.0, True),
        (adam(group), 1 - momentum, False),
    ):
        assert radius(edge / other, kept, ahead) < 1 + 1e-12
        assert radius(edge * other, kept, ahead) > 1


def test_edges_that_do_not_exist() -> None:
    one, two = (nn.Parameter(torch.ones(())) for _ in range(2))
    assert flatdirs.edge_of_stability(torch.optim.SGD([one], lr=0.0)) == math.inf
    assert preconditioner(torch.optim.SGD([one], lr=0.1)) is None
    with refused(CurvatureError, "maximize"):
        flatdirs.edge_of_stability(torch.optim.SGD([one], lr=0.1, maximize=True))
    with refused(CurvatureError, "optimizer", "groups"):
        flatdirs.edge_of_stability(torch.optim.SGD([{"params": [one], "lr": 0.1}, {"params": [two]}], lr=0.2))
    with refused(CurvatureError, "optimizer", "Adagrad"):
        flatdirs.edge_of_stability(torch.optim.Adagrad([one]))
    with refused(CurvatureError, "optimizer", "step"):
        preconditioner(torch.optim.Adam([one]))


def test_rules_of_other_optimizers() -> None:
    class Registered(torch.optim.Adagrad):
        pass

    class WithMethod(torch.optim.Adagrad):
        def stability_rule(self) -> Rule:
            return Rule(lambda group: 3.0)

    class WithBase(torch.optim.Adagrad):
        base = "adam"

    weight = nn.Parameter(torch.ones(()))
    based = WithBase([weight], lr=0.5)
    based.param_groups[0]["betas"] = (0.5, 0.999)
    assert flatdirs.edge_of_stability(based) == pytest.approx(2 * 1.5 / 0.5 / 0.5)
    register_rule(Registered, Rule(heavy_ball))
    assert flatdirs.edge_of_stability(Registered([weight], lr=0.5)) == 4
    assert flatdirs.edge_of_stability(WithMethod([weight], lr=0.5)) == 6


# ---- the log


def test_a_log_sees_the_step_that_was_taken() -> None:
    """On a quadratic everything that is logged is known."""
    curvatures = torch.linspace(0.1, 4, 60, dtype=torch.float64)
    model = Point(torch.linspace(1, 2, 60, dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    loss = quadratic(curvatures)
    path = [model.w.detach().clone()]
    with flatdirs.CurvatureLog(model, optimizer, loss, NOTHING, every=3) as log:
        for _ in range(7):
            model.w.grad = curvatures * path[-1]
            optimizer.step()
            path.append(model.w.detach().clone())
    optimizer.step()
    optimizer.step()  # not seen any more
    assert [record.step for record in log.records] == [3, 6]
    for record in log.records:
        before, after = path[record.step - 1], path[record.step]
        update = after - before
        assert record.lr == 0.1
        assert record.loss == pytest.approx(loss(after, NOTHING[1]).item())
        assert record.gradient_norm == pytest.approx((curvatures * before).norm().item())
        assert record.sharpness == pytest.approx(4)
        assert record.threshold == pytest.approx(30)
        assert record.ratio == pytest.approx(4 / 30)
        assert abs(record.alignment) == pytest.approx(abs(update[-1] / update.norm()).item(), rel=1e-5)
        assert record.residual < 2e-8


def test_a_log_counts_coupled_decay_and_preconditions() -> None:
    curvatures = torch.linspace(0.1, 4, 40, dtype=torch.float64)
    model = Point(torch.ones(40, dtype=torch.float64))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01, weight_decay=0.5)
    log = flatdirs.CurvatureLog(model, optimizer, quadratic(curvatures), NOTHING)
    model.w.grad = torch.ones_like(model.w)
    optimizer.step()
    (diagonal,) = preconditioner(optimizer).values()  # type: ignore[union-attr]
    assert log.records[0].sharpness == pytest.approx(float(((curvatures + 0.5) / diagonal).max()))


def test_a_log_does_not_change_training() -> None:
    ends = []
    for logged in (False, True):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(5, 30), nn.BatchNorm1d(30), nn.Dropout(), nn.ReLU(), nn.Linear(30, 2))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        batch = torch.randn(21, 5), torch.randint(2, (21,))
        if logged:
            log = flatdirs.CurvatureLog(model, optimizer, cross_entropy, batch, every=2)
        trained(model, batch, optimizer, 6)
        ends.append(model.state_dict())
    assert [record.step for record in log.records] == [2, 4, 6]
    assert all(0 < record.ratio < math.inf and 0 < abs(record.alignment) <= 1 for record in log.records)
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.slow
def test_a_run_that_blows_up_is_logged_as_such() -> None:
    model, batch = perceptron()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    log = flatdirs.CurvatureLog(model, optimizer, cross_entropy, batch)
    trained(model, batch, optimizer, 1)
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    trained(model, batch, optimizer, 1)
    assert math.isfinite(log.records[0].sharpness)
    assert math.isnan(log.records[1].sharpness)
    assert math.isnan(log.records[1].ratio)
    assert log.figure().axes[0].get_ylabel() == "loss"


def test_a_log_of_unusable_arguments_is_refused() -> None:
    model, batch = perceptron()
    sgd, adagrad = torch.optim.SGD(model.parameters()), torch.optim.Adagrad(model.parameters())
    for every in (0, 1.5, True):
        with refused(CurvatureError, "every"):
            flatdirs.CurvatureLog(model, sgd, cross_entropy, batch, every=every)  # type: ignore[arg-type]
    for optimizer in (adagrad, torch.optim.SGD(list(model.parameters())[-1:])):
        with refused(CurvatureError, "optimizer"):
            flatdirs.CurvatureLog(model, optimizer, cross_entropy, batch)


@pytest.mark.slow
def test_gradient_descent_trains_to_the_edge() -> None:
    """Full batch, a constant rate: sharpness rises to 2/η and stays about there (Cohen et al. 2021)."""
    torch.manual_seed(0)
    inputs = torch.linspace(-1, 1, 20).view(-1, 1)
    batch = inputs, torch.sin(6 * inputs)
    model = nn.Sequential(nn.Linear(1, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    log = flatdirs.CurvatureLog(model, optimizer, nn.functional.mse_loss, batch, every=50)
    for _ in range(1500):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(batch[0]), batch[1]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    ratios = [record.ratio for record in log.records]
    assert ratios[0] < 0.95
    assert statistics.fmean(ratios[-15:]) == pytest.approx(1, abs=0.1)
    assert all(record.products < log.records[0].products for record in log.records[1:])
