"""CDAT and the line search: torch's updates, exact curvature, the edge of stability, and side effects of a step."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from flatdirs import CDAT, ArmijoLineSearch, QuadraticallyGreedy
from flatdirs.curvature.base_optimizers import BASES
from flatdirs.curvature.cdat import SETTLING
from flatdirs.curvature.stability import edge_of_stability
from flatdirs.errors import CurvatureError
from flatdirs.training.model import build_model
from tests.refused import refused

DECAY = 0.05
TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "gd": lambda p, lr: torch.optim.SGD(p, lr=lr, weight_decay=DECAY),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, weight_decay=DECAY),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True, weight_decay=DECAY),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr, weight_decay=DECAY),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr, weight_decay=DECAY),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=DECAY),
}
EDGES = {  # times 1/λ; with a huge ε the preconditioner is 1/ε, whatever the gradients were
    "gd": 2.0,
    "momentum": 2 * (1 + 0.9),
    "nesterov": 2 * (1 + 0.9) / (1 + 2 * 0.9),
    "rmsprop": 2.0,
    "adam": 2 * (1 + 0.9) / (1 - 0.9),
    "adamw": 2 * (1 + 0.9) / (1 - 0.9),
}
KINDS: dict[str, Callable[..., Any]] = {
    "cdat": CDAT,
    "cdat, slow": lambda p, base="gd", **k: CDAT(p, base, quick=False, **k),
    "greedy": QuadraticallyGreedy,
    "line search": ArmijoLineSearch,
}


@pytest.fixture(autouse=True)
def _in_float64() -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Net(nn.Module):
    """Layers that the quadratic form replaces, and layers that it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, stride=(2, 1))
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, (1, 3), groups=2, bias=False, dilation=(1, 2))
        self.layer_norm = nn.LayerNorm(4)
        self.dropout = nn.Dropout(0.3)
        self.tied = nn.Linear(4, 4)
        self.norm1d = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2, 6, 8) → (n, 3)."""
        x = torch.relu_(self.norm(self.first(x)))
        x = functional.relu(self.second(x)).amax(dim=(2, 3))
        x = self.dropout(self.layer_norm(x))
        x = torch.tanh(self.tied(self.norm1d(torch.sigmoid(self.tied(x)))))
        return self.head(x)


def problem() -> tuple[Net, Callable[[nn.Module], Tensor]]:
    """A network in training mode and the loss of such a network on one batch; dropout draws globally."""
    x, y = torch.randn(6, 2, 6, 8), torch.randint(0, 3, (6,))
    return Net().train(), lambda net: functional.cross_entropy(net(x), y)


def hessian_form(net: nn.Module, loss: Callable[[nn.Module], Tensor], direction: dict[str, Tensor]) -> float:
    """uᵀHu by torch's dense Hessian of the loss at w + t·u, with the same random numbers and buffers each time."""
    begin = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    state = torch.get_rng_state()

    def along(t: Tensor) -> Tensor:
        torch.set_rng_state(state)
        moved = {name: value + t * direction[name] for name, value in begin.items()}
        copies = {name: buffer.clone() for name, buffer in buffers.items()}
        return loss(lambda x: torch.func.functional_call(net, {**moved, **copies}, (x,)))  # type: ignore[arg-type]

    value = torch.autograd.functional.hessian(along, torch.zeros(()))
    torch.set_rng_state(state)
    assert isinstance(value, Tensor)
    return float(value)


@pytest.mark.parametrize("base", TORCH)
def test_at_the_cap_a_run_is_torchs_run(base: str) -> None:
    nets = [nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    x, y = torch.randn(20, 3), torch.randn(20, 1)
    ours = CDAT(nets[0].parameters(), base, sigma=1e9, max_learning_rate=0.003, weight_decay=DECAY)
    theirs = TORCH[base](nets[1].parameters(), 0.003)
    for _ in range(10):
        loss = ours.step(lambda: functional.mse_loss(nets[0](x), y))
        theirs.zero_grad()
        other = functional.mse_loss(nets[1](x), y)
        other.backward()
        theirs.step()
        assert loss.item() == pytest.approx(other.item(), rel=1e-12)
        assert ours.learning_rate.item() == 0.003
    for mine, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=1e-11, atol=1e-13)
        assert torch.allclose(mine.grad, other.grad, rtol=1e-10, atol=1e-12), "as backward() leaves it"


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [(), ("first.weight",), ("norm.weight", "tied.weight", "norm1d.bias")])
def test_the_curvature_is_the_hessians(quick: bool, training: bool, frozen: tuple[str, ...]) -> None:
    net, loss = problem()
    net.train(training)
    state, buffers = torch.get_rng_state(), {name: buffer.clone() for name, buffer in net.named_buffers()}
    direction = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    names = [name for name in direction if name not in frozen]
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    gradients = torch.autograd.grad(loss(net), [net.get_parameter(name) for name in names])
    direction |= {name: -gradient for name, gradient in zip(names, gradients, strict=True)}
    net.load_state_dict(buffers, strict=False)
    torch.set_rng_state(state)
    expected = hessian_form(net, loss, direction)
    size = sum(float((g * g).sum()) for g in gradients)
    optimizer = CDAT(net.parameters(), quick=quick, sigma=0.5, max_learning_rate=None)
    optimizer.step(lambda: loss(net))
    assert optimizer.last is not None
    assert abs(expected) > 1e-3
    assert optimizer.last.slope.item() == pytest.approx(size, rel=1e-10)
    assert optimizer.last.curvature.item() == pytest.approx(abs(expected) + 1e-6 * size, rel=1e-10)
    assert optimizer.last.learning_rate.item() == pytest.approx(0.5 * size / (abs(expected) + 1e-6 * size), rel=1e-10)


def test_the_trainers_network_and_torchs_derivatives_agree() -> None:
    rates = []
    for quick in (True, False):
        model = build_model(3, 10, 2, 0, torch.device("cpu")).double().train()
        torch.manual_seed(1)
        x, y = torch.randn(4, 3, 16, 16), torch.randint(0, 10, (4,))
        optimizer = CDAT(model.parameters(), "nesterov", sigma=0.3, weight_decay=DECAY, quick=quick)
        for _ in range(4):
            optimizer.step(lambda: functional.cross_entropy(model(x), y))  # noqa: B023
            rates.append(optimizer.learning_rate.item())
    assert rates[:4] == pytest.approx(rates[4:], rel=1e-8)


def test_coupled_decay_is_in_slope_and_curvature_by_group_and_decoupled_in_neither() -> None:
    def begun(base: str) -> tuple[CDAT, list[nn.Parameter]]:
        w = [nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([-3.0]))]
        groups = [{"params": [w[0]], "weight_decay": 0.5}, {"params": [w[1]], "weight_decay": 0.25}]
        optimizer = CDAT(groups, base, sigma=0.1, eps=1e-12)
        optimizer.step(lambda: (w[0] ** 2).sum() + 2 * (w[1] ** 2).sum())
        assert optimizer.last is not None
        return optimizer, w

    optimizer, _ = begun("gd")
    g = torch.tensor([4.0 + 1.0, -12.0 - 0.75])
    assert optimizer.last.slope.item() == pytest.approx(float(g @ g))  # type: ignore[union-attr]
    expected = 2.5 * 25 + 4.25 * 12.75**2 + 1e-6 * float(g @ g)
    assert optimizer.last.curvature.item() == pytest.approx(expected)  # type: ignore[union-attr]
    optimizer, w = begun("adamw")
    rate = optimizer.learning_rate.item()
    assert optimizer.last.slope.item() == pytest.approx(4 + 12)  # type: ignore[union-attr]
    assert optimizer.last.curvature.item() == pytest.approx(2 + 4 + 2e-6)  # type: ignore[union-attr]
    assert w[0].item() == pytest.approx(2 * (1 - 0.5 * rate) - rate)
    assert w[1].item() == pytest.approx(-3 * (1 - 0.25 * rate) + rate)


def quadratic(base: str, sigma: float, steps: int, **settings: Any) -> tuple[CDAT, list[float], Tensor]:
    """diag(10, 1, .1) from (1, 1, 1): the optimizer, its losses and where it ended."""
    w, scales = nn.Parameter(torch.ones(3)), torch.tensor([10.0, 1.0, 0.1])
    optimizer = CDAT([w], base, sigma=sigma, max_learning_rate=None, **settings)
    losses = [optimizer.step(lambda: 0.5 * (scales * w * w).sum()).item() for _ in range(steps)]
    return optimizer, losses, w.detach()


@pytest.mark.slow
@pytest.mark.parametrize("base", EDGES)
def test_on_the_edge_every_base_settles_at_its_own_edge_of_stability(base: str) -> None:
    scale = 1e9 if base in ("rmsprop", "adam", "adamw") else 1.0
    optimizer, _, end = quadratic(base, 2.0, 600, eps=1e9, weight_decay=0.0)
    assert optimizer.learning_rate.item() / scale == pytest.approx(EDGES[base] / 10, rel=1e-4)
    assert edge_of_stability(optimizer) * optimizer.learning_rate.item() == pytest.approx(EDGES[base]), "as it says"
    assert end[0].abs().item() == pytest.approx(1.07, abs=0.02), "neither grown nor shrunk along the top mode"
    assert end[1:].abs().max().item() < 1e-4


@pytest.mark.parametrize("base", EDGES)
def test_averages_that_begin_at_zero_do_not_show(base: str) -> None:
    first = [quadratic(base, 0.5, 1, ema=ema, weight_decay=0.0)[0].learning_rate.item() for ema in (0.0, 0.9)]
    assert first[1] == pytest.approx(first[0], rel=1e-12)


@pytest.mark.slow
def test_greedy_converges_the_edge_stalls_and_beyond_it_everything_diverges() -> None:
    _, losses, _ = quadratic("gd", 1.0, 200)
    assert losses[-1] < 1e-9 * losses[0]
    optimizer, losses, _ = quadratic("gd", 2.0, 400)
    assert losses[-1] == pytest.approx(5.55, rel=2e-3)
    assert optimizer.learning_rate.item() == pytest.approx(0.2, rel=1e-5)
    _, losses, _ = quadratic("gd", 2.05, 400)
    assert losses[-1] > 1e15


def test_greedy_is_cdat_with_one() -> None:
    w, v = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    greedy, cdat = QuadraticallyGreedy([w], "momentum"), CDAT([v], "momentum", sigma=1.0)
    for _ in range(5):
        greedy.step(lambda: torch.sum(w**4))
        cdat.step(lambda: torch.sum(v**4))
    assert torch.equal(w, v)
    with refused(CurvatureError, "sigma"):
        QuadraticallyGreedy([w], sigma=2.0)


def test_averages_are_of_slope_and_curvature_each_by_itself() -> None:
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = CDAT([w], "gd", sigma=0.4, ema=0.75)
    slope = curvature = 0.0
    for _ in range(6):
        optimizer.step(lambda: torch.sum(w**4))
        last = optimizer.last
        assert last is not None
        slope, curvature = 0.75 * slope + last.slope.item(), 0.75 * curvature + last.curvature.item()
        assert optimizer.learning_rate.item() == pytest.approx(0.4 * slope / curvature)


def test_between_measurements_the_relative_curvature_is_kept() -> None:
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = CDAT([w], "gd", sigma=0.5, every=3)
    relative = []
    for _ in range(SETTLING + 6):
        gradient = 4 * w.detach() ** 3
        optimizer.step(lambda: torch.sum(w**4))
        assert optimizer.last is not None
        assert optimizer.last.slope.item() == pytest.approx(float(gradient @ gradient))
        relative.append(optimizer.last.curvature.item() / float(gradient @ gradient))
    assert len({round(value, 9) for value in relative[:SETTLING]}) == SETTLING
    assert relative[10:12] == pytest.approx(relative[9:10] * 2)
    assert relative[13:15] == pytest.approx(relative[12:13] * 2)
    assert len({round(value, 9) for value in relative[9:]}) == 3


def test_between_measurements_a_steeper_loss_does_not_lengthen_the_step() -> None:
    w = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = CDAT([w], "adam", sigma=0.1, every=4, max_learning_rate=None)
    rates = []
    for step in range(14):
        scale = 100.0 if step in (10, 13) else 0.01 if step == 11 else 1.0
        optimizer.step(lambda scale=scale: scale * w.square().sum())  # type: ignore[misc]
        rates.append(optimizer.learning_rate.item())
    assert rates[10] == rates[9]
    assert rates[11] < 0.1 * rates[9]
    assert rates[13] == rates[12]


@pytest.mark.parametrize("who", KINDS)
def test_statistics_move_once_a_step_and_dropout_draws_on(who: str) -> None:
    net, loss = problem()
    twin, _ = problem()
    masks: list[list[Tensor]] = []

    def noted() -> Tensor:
        torch.rand(1)
        masks[-1].append(functional.dropout(torch.ones(50), 0.5))
        return loss(net)

    optimizer = KINDS[who](net.parameters(), "momentum", max_learning_rate=10.0)
    for step in range(3):
        masks.append([])
        torch.manual_seed(step)
        twin.load_state_dict(net.state_dict())
        optimizer.step(noted)
        after = torch.rand(3)
        torch.manual_seed(step)
        torch.rand(1)
        functional.dropout(torch.ones(50), 0.5)
        loss(twin)
        assert torch.equal(after, torch.rand(3)), "random numbers go on as after one evaluation"
        for name, buffer in twin.named_buffers():
            assert torch.equal(buffer, net.get_buffer(name)), name
    assert net.norm.num_batches_tracked.item() == 3
    assert all(torch.equal(mask, many[0]) for many in masks for mask in many)
    assert not torch.equal(masks[0][0], masks[1][0])
    assert (max(len(many) for many in masks) > 2) is (who == "line search")


@pytest.mark.parametrize("base", ["gd", "nesterov", "adamw"])
def test_armijos_inequality_holds_at_every_accepted_step(base: str) -> None:
    w = nn.Parameter(torch.tensor([-1.2, 1.0]))
    optimizer = ArmijoLineSearch([w], base, weight_decay=0.1)
    values: list[tuple[float, float]] = []

    def rosenbrock() -> Tensor:
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        decay = 0.05 * float((w.detach() ** 2).sum()) if base != "adamw" else 0.0
        values.append((loss.item(), loss.item() + decay))
        return loss

    taken = 0
    for _ in range(60):
        values.clear()
        before = optimizer.step(rosenbrock)
        assert optimizer.last is not None
        rate, slope = optimizer.learning_rate.item(), optimizer.last.slope.item()
        assert before.item() == values[0][0]
        if rate > 0:
            taken += 1
            assert values[-1][1] <= values[0][1] - 1e-4 * rate * slope + 1e-12
            for back, (_, trial) in enumerate(reversed(values[1:-1]), start=1):
                assert trial > values[0][1] - 1e-4 * rate / 0.8**back * slope - 1e-12, "and at none before"
    assert taken > 30
    assert values[0][0] < 5.0


def test_a_line_search_that_finds_nothing_stays_and_goes_on_from_the_smallest_rate() -> None:
    w = nn.Parameter(torch.tensor([1.0]))
    optimizer = ArmijoLineSearch([w], max_backtracks=3)
    rates, places = [], []
    for _ in range(12):
        optimizer.step(lambda: 50.0 * (w**2).sum())
        rates.append(optimizer.learning_rate.item())
        places.append(w.item())
    assert rates[:4] == [0.0] * 4
    assert places[:4] == [1.0] * 4
    assert 0 < max(rates) < 0.02
    assert abs(places[-1]) < 0.5


def test_a_direction_that_ascends_gives_a_step_of_nothing_but_state() -> None:
    for kind in (CDAT, ArmijoLineSearch):
        w, sign = nn.Parameter(torch.tensor([1.0])), [1.0]
        optimizer = kind([w], "momentum", max_learning_rate=0.1)
        optimizer.step(lambda: sign[0] * (w**2).sum())  # noqa: B023
        place, sign[0] = w.item(), -0.1
        optimizer.step(lambda: sign[0] * (w**2).sum())  # noqa: B023
        assert w.item() == place
        assert optimizer.learning_rate.item() == 0.0
        expected = 0.9 * 2.0 + sign[0] * 2 * place
        assert optimizer.state[w]["momentum_buffer"].item() == pytest.approx(expected)


@pytest.mark.parametrize("who", KINDS)
@pytest.mark.parametrize("base", ["momentum", "adamw"])
def test_a_loss_that_is_not_finite_leaves_everything_alone(who: str, base: str) -> None:
    ends = []
    for bad in (False, True):
        w = nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = KINDS[who]([w], base, max_learning_rate=0.1)
        for step in range(6):
            if bad and step == 3:
                before, rate = w.detach().clone(), optimizer.learning_rate.clone()
                for factor in (math.nan, math.inf):
                    loss = optimizer.step(lambda: factor * (w**4).sum())  # noqa: B023
                    assert not math.isfinite(loss.item())
                assert torch.equal(w, before)
                assert torch.equal(rate, optimizer.learning_rate)
            optimizer.step(lambda: torch.sum(w**4))  # noqa: B023
        ends.append(w.detach().clone())
    assert torch.equal(*ends)


SETTINGS: dict[str, dict[str, Any]] = {
    "cdat": {"sigma": 0.3, "ema": 0.8, "every": 2, "max_learning_rate": 0.4},
    "greedy": {"ema": 0.7, "every": 3, "max_learning_rate": None},
    "line search": {"decrease": 0.01, "shrink": 0.5, "grow": 2.0, "max_backtracks": 9, "max_learning_rate": 0.4},
}


@pytest.mark.parametrize("who", SETTINGS)
@pytest.mark.parametrize("base", ["gd", "nesterov", "adam"])
def test_a_saved_optimizer_continues_to_the_bit_with_its_settings(who: str, base: str) -> None:
    def made(**settings: Any) -> tuple[nn.Module, Any]:
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
        groups = [{"params": net[0].parameters(), "weight_decay": 0.1}, {"params": net[1:].parameters()}]
        return net, KINDS[who](groups, base, **settings)

    x, y = torch.randn(9, 3), torch.randn(9, 1)

    def walk(net: nn.Module, optimizer: Any, steps: int) -> None:
        for _ in range(steps):
            optimizer.step(lambda: functional.mse_loss(net(x), y))

    net, optimizer = made(momentum=0.3, **SETTINGS[who])
    walk(net, optimizer, SETTLING + 1)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    walk(net, optimizer, 4)
    file.seek(0)
    saved, (other, again) = torch.load(file), made()
    other.load_state_dict(saved["net"])
    again.load_state_dict(saved["optimizer"])
    assert {name: getattr(again, name) for name in SETTINGS[who]} == SETTINGS[who]
    walk(other, again, 4)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    assert torch.equal(optimizer.learning_rate, again.learning_rate)
    with refused(CurvatureError, "state_dict"):
        again.load_state_dict(torch.optim.SGD(other.parameters(), lr=0.1).state_dict())


@pytest.mark.parametrize("who", KINDS)
@pytest.mark.parametrize("base", BASES)
def test_no_step_hangs_on_the_graph_of_the_one_before(who: str, base: str) -> None:
    w = nn.Parameter(torch.ones(3))
    optimizer = KINDS[who]([w], base, weight_decay=0.1)
    for _ in range(3):
        optimizer.step(lambda: torch.sum(w**2))
    kept = [value for state in optimizer.state.values() for value in state.values()]
    assert len(kept) == len(BASES[base].buffers) + BASES[base].counts
    assert not any(value.requires_grad for value in [*kept, w.grad, optimizer.learning_rate])
    copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("who", ["cdat", "greedy", "line search"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_a_copied_optimizer_goes_on(who: str, copied: Callable[[Any], Any]) -> None:
    w = nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = KINDS[who]([w], "adam", weight_decay=0.1)
    optimizer.step(lambda: torch.sum(w**4))
    again = copied(optimizer)
    (v,) = again.param_groups[0]["params"]
    optimizer.step(lambda: torch.sum(w**4))
    again.step(lambda: torch.sum(v**4))
    assert v is not w
    assert torch.equal(v, w)
    assert torch.equal(again.learning_rate, optimizer.learning_rate)


def test_a_scheduler_attached_to_it_changes_neither_the_rate_nor_the_record() -> None:
    w = nn.Parameter(torch.ones(2))
    optimizer = CDAT([w], sigma=0.5)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)
    optimizer.step(lambda: torch.sum(w**2))
    rate, edge = optimizer.learning_rate.item(), edge_of_stability(optimizer)
    scheduler.step()
    assert optimizer.last is not None
    assert optimizer.learning_rate.item() == optimizer.last.learning_rate.item() == rate
    assert edge_of_stability(optimizer) == edge


class Square(torch.autograd.Function):
    """w², whose backward pass cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return w * w

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * gradient


@pytest.mark.parametrize("who", ["cdat", "cdat, slow"])
def test_cdat_needs_second_derivatives_and_a_line_search_does_not(who: str) -> None:
    w = nn.Parameter(torch.full((2,), 2.0))

    def closure() -> Tensor:
        return (Square.apply(w) ** 2).sum()

    with refused(CurvatureError, "model"):
        KINDS[who]([w]).step(closure)
    assert torch.equal(w, torch.full((2,), 2.0))
    ArmijoLineSearch([w]).step(closure)
    assert not torch.equal(w, torch.full((2,), 2.0))


@pytest.mark.parametrize("who", ["cdat", "cdat, slow"])
def test_attention_has_a_curvature(who: str) -> None:
    layer, x = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), torch.randn(3, 5, 8)
    optimizer = KINDS[who](layer.parameters(), sigma=1.0)
    losses = [float(optimizer.step(lambda: torch.mean(layer(x)[..., 0] ** 2))) for _ in range(5)]
    assert losses[-1] < losses[0]


def test_unusable_parameters_are_refused() -> None:
    w, frozen = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1), requires_grad=False)
    CDAT([{"params": []}, {"params": [w]}]).step(lambda: torch.sum(w**2))
    with refused(CurvatureError, "params"):
        CDAT([{"params": []}])
    with refused(CurvatureError, "params"):
        CDAT([frozen]).step(lambda: torch.sum(w**2))
    for own in ("lr", "sigma", "max_learning_rate"):
        with refused(CurvatureError, own):
            CDAT([{"params": [w], own: 0.1}])


@pytest.mark.parametrize(
    ("kind", "base"), [(CDAT, "gd"), (CDAT, "adamw"), (QuadraticallyGreedy, "adam"), (ArmijoLineSearch, "adam")]
)
def test_the_state_of_another_optimizer_is_refused_and_changes_nothing(kind: Callable[..., Any], base: str) -> None:
    def one_step(kind: Callable[..., Any], base: str, **settings: Any) -> Any:
        w = nn.Parameter(torch.ones(2))
        optimizer = kind([w], base, **settings)
        optimizer.step(lambda: torch.sum(w**2))
        return optimizer

    optimizer, saved = one_step(kind, base), one_step(CDAT, "adam", sigma=0.3, ema=0.5).state_dict()
    before = optimizer.state_dict()
    with refused(CurvatureError, "state_dict", "base=adam"):
        optimizer.load_state_dict(saved)
    after = optimizer.state_dict()
    assert before["curvature"]["settings"] == after["curvature"]["settings"]
    assert before["state"].keys() == after["state"].keys()


def test_groups_share_the_rate_and_may_come_later() -> None:
    w, v = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = CDAT([w], "momentum", sigma=0.5)
    optimizer.step(lambda: torch.sum(w**2))
    optimizer.add_param_group({"params": [v], "momentum": 0.0})
    assert [group["lr"] for group in optimizer.param_groups] == [optimizer.learning_rate] * 2
    optimizer.step(lambda: (w**2).sum() + (v**2).sum())
    assert {float(group["lr"]) for group in optimizer.param_groups} == {optimizer.learning_rate.item()}
    assert torch.allclose(v.detach(), torch.full((2,), 1.0 - 2.0 * optimizer.learning_rate.item()))
    with refused(CurvatureError, "momentum"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "momentum": 1.5})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize("who", KINDS)
def test_what_the_loss_does_not_depend_on_is_left_alone(who: str) -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = KINDS[who]([used, unused], "momentum", weight_decay=0.1)
    optimizer.step(lambda: torch.sum(used**2))
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))
    assert unused.grad is None
    assert unused not in optimizer.state


@pytest.mark.parametrize("who", KINDS)
def test_unusable_closures_are_refused(who: str) -> None:
    table = nn.Embedding(5, 2, sparse=True)
    with refused(CurvatureError, "params", "sparse"):
        KINDS[who](table.parameters()).step(lambda: table(torch.tensor([1, 2])).square().sum())
    assert table.weight.grad is None
    w = nn.Parameter(torch.ones(2))
    optimizer = KINDS[who]([w])

    def backward() -> Tensor:
        loss = (w**2).sum()
        loss.backward()
        return loss

    for closure in (backward, lambda: 3.0, lambda: (w**2).sum().detach(), lambda: w**2):
        with refused(CurvatureError, "closure"):
            optimizer.step(closure)
    assert torch.equal(w, torch.ones(2))


WRONG: dict[str, list[Any]] = {
    "base": ["sgd", ["gd"]],
    "quick": ["no"],
    "sigma": [0.0, math.inf, "2", True],
    "ema": [1.0, None],
    "every": [0],
    "max_learning_rate": ["most", 0.0, True, math.inf, math.nan],
    "momentum": [1.0],
    "betas": [("a", 0.9), (0.9, 1.0), 0.9],
    "alpha": [-0.1],
    "eps": [math.nan],
    "weight_decay": [-1.0],
}
WRONG_SEARCH: dict[str, list[Any]] = {
    "decrease": [0.0],
    "shrink": [1.0],
    "grow": [0.5, math.inf],
    "max_backtracks": [0, 2.5],
}


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        *((CDAT, key, value) for key, values in WRONG.items() for value in values),
        *((ArmijoLineSearch, key, value) for key, values in WRONG_SEARCH.items() for value in values),
    ],
)
def test_a_wrong_setting_is_refused(kind: type[torch.optim.Optimizer], key: str, value: Any) -> None:
    with refused(CurvatureError, key):
        kind([nn.Parameter(torch.ones(1))], **{key: value})


def test_a_gradient_penalty_needs_torchs_own_derivatives() -> None:
    layer, x = nn.Linear(2, 1), torch.randn(4, 2, requires_grad=True)

    def penalised() -> Tensor:
        out = torch.tanh(layer(x)).sum()
        (gradient,) = torch.autograd.grad(out, x, create_graph=True)
        return out**2 + (gradient**2).sum()

    with refused(CurvatureError, "quick"):
        CDAT(layer.parameters()).step(penalised)
    optimizer = CDAT(layer.parameters(), quick=False, sigma=0.5)
    losses = [optimizer.step(penalised).item() for _ in range(5)]
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_under_autocast_curvature_and_training_stay_close_to_float32() -> None:
    """After some training, before which uᵀHu is a small difference of large sums."""
    torch.set_default_dtype(torch.float32)
    curvatures, losses = [], []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = build_model(3, 10, 4, 0, torch.device("cpu")).train()
        x, y = torch.randn(16, 3, 16, 16), torch.randint(0, 10, (16,))
        plain = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(10):
            plain.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            plain.step()

        def closure(model: nn.Module = model, x: Tensor = x, y: Tensor = y, enabled: bool = enabled) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled):
                logits = model(x)
            return functional.cross_entropy(logits.float(), y)

        optimizer = CDAT(model.parameters(), "nesterov", sigma=0.5, max_learning_rate=0.1)
        losses = [optimizer.step(closure).item()]
        assert optimizer.last is not None
        curvatures.append(optimizer.last.curvature.item())
        losses += [optimizer.step(closure).item() for _ in range(5)]
        assert losses[-1] < losses[0]
    assert curvatures[1] == pytest.approx(curvatures[0], rel=0.15)
