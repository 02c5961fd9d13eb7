"""`find_learning_rate`: no trace, all probes alike, batches of any shape, unusable arguments."""

from __future__ import annotations

import copy
import math
import os
import random
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, TensorDataset

from flatdirs import FinderError, LearningRates, find_learning_rate
from flatdirs.lr_finder import finder
from flatdirs.lr_finder.batches import closure_of
from flatdirs.lr_finder.probe import Prober
from flatdirs.lr_finder.snapshot import Snapshot, put_back
from flatdirs.training.dataset import mean_loss
from flatdirs.training.gpt import build_gpt
from tests.refused import refused

CPU = torch.device("cpu")
Batches = list[tuple[Tensor, Tensor]]


# --- something to learn ----------------------------------------------------------------------------------------------


def samples(count: int = 64) -> TensorDataset:
    """Points of two classes, easy to tell apart."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, (inputs.sum(1) > 0).long())


def batches(count: int = 4) -> Batches:
    inputs, target = samples(16 * count).tensors
    return list(zip(inputs.split(16), target.split(16), strict=True))


class Net(nn.Module):
    """Batch norm, dropout, a buffer of each kind, one that is replaced, a counter, a history, and frozen parts."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.frozen = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.head = nn.Linear(8, 2)
        self.frozen.requires_grad_(False)
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("volatile", torch.zeros(2), persistent=False)
        self.register_buffer("expanded", torch.zeros(1).expand(3))
        self.calls = 0
        self.history: list[float] = []
        self.carried = (torch.zeros(2), np.zeros(2))

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        self.history.append(1.0)
        output = self.head(self.frozen(self.body(inputs)))
        self.replaced = self.replaced + output.detach().mean(0)
        self.volatile += output.detach().mean(0)
        self.carried[0].add_(1)
        self.carried[1][:] += 1
        return output


def net() -> Net:
    torch.manual_seed(0)
    model = Net()
    model.frozen.eval()
    return model


def search(model: nn.Module, optimizer: Any, train: Any, validation: Any = None, **settings: Any) -> LearningRates:
    """A small search with cross entropy."""
    settings = {"steps": 3, "budget": 4, "progress": False, "loss": functional.cross_entropy, **settings}
    return find_learning_rate(model, settings.pop("loss"), optimizer, train, validation, **settings)


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=0.01)


def prober(model: nn.Module, optimizer: torch.optim.Optimizer, train: Batches, **settings: Any) -> Prober:
    """A prober that evaluates on its training batches."""
    closure = closure_of(settings.pop("loss", functional.cross_entropy), None, None, CPU)
    return Prober(model, optimizer, closure, [train], None, Snapshot([model, optimizer]), CPU, **settings)


def bits(value: Any) -> Any:
    """A picture of a value that equals another only where they are the same to the bit, nan included."""
    if isinstance(value, Tensor):
        raw = value.detach().clone().contiguous().flatten().view(torch.uint8).tolist() if value.numel() else []
        return (id(value), value.dtype, tuple(value.shape), value.stride(), value.requires_grad, raw)
    if isinstance(value, np.ndarray):
        return (id(value), value.tobytes())
    if isinstance(value, dict):
        return (id(value), [(id(key) if isinstance(key, Tensor) else key, bits(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return (id(value), [bits(item) for item in value])
    if isinstance(value, (nn.Module, torch.optim.Optimizer, torch.amp.GradScaler)):
        return bits(vars(value))
    return value


def random_states() -> list[Any]:
    states = [random.getstate(), str(np.random.get_state(legacy=False)), torch.get_rng_state().tolist()]
    if torch.cuda.is_available():
        states += [state.tolist() for state in torch.cuda.get_rng_state_all()]
    return states


def state(model: nn.Module, *others: Any) -> list[Any]:
    """Everything that must be the same before and after."""
    gradients = [bits(parameter.grad) for parameter in model.parameters()]
    return [bits(model), gradients, [bits(other) for other in others], random_states()]


def warmed(make: Callable[[Any], torch.optim.Optimizer] = sgd) -> tuple[Net, torch.optim.Optimizer]:
    """A model in the middle of training: momentum, running statistics, and gradients that are not used yet."""
    model = net()
    optimizer = make([parameter for parameter in model.parameters() if parameter.requires_grad])
    for inputs, target in batches(2):
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), target).backward()
        optimizer.step()
    return model, optimizer


# --- no trace --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("seeds", [1, 2])
def test_everything_is_as_it_was(make: Callable[[Any], torch.optim.Optimizer], seeds: int) -> None:
    model, optimizer = warmed(make)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    before = state(model, optimizer, str(scheduler.state_dict()))
    found = search(model, optimizer, DataLoader(samples(), batch_size=16, shuffle=True), seeds=seeds)
    assert len(found.points) == 4
    assert state(model, optimizer, str(scheduler.state_dict())) == before


def test_a_language_model_is_as_it_was() -> None:
    model = build_gpt(20, context=8, width=16, depth=2, heads=4, seed=0, device=CPU)
    optimizer = adamw(model.parameters())
    codes = torch.randint(0, 20, (5, 4, 9), generator=torch.Generator().manual_seed(0))
    texts = [(part[:, :-1], part[:, 1:]) for part in codes]
    before = state(model, optimizer)
    found = search(model, optimizer, texts, texts[3:], loss=None, closure=lambda net, x: mean_loss(net(x[0]), x[1]))
    assert len(found.points) == 4
    assert len({point.loss for point in found.points}) == 4
    assert state(model, optimizer) == before


def test_a_diverged_probe_leaves_nothing_behind() -> None:
    model, optimizer = warmed()
    before = state(model, optimizer)
    seen = prober(model, optimizer, batches(6))
    with put_back(seen.snapshot):
        first = seen.losses(0.01)
        assert seen.losses(1e25) == [math.inf]
        assert any(not bool(torch.isfinite(buffer).all()) for buffer in model.buffers())
        assert seen.losses(0.1) != first
        assert seen.losses(0.01) == first
    assert state(model, optimizer) == before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_in_a_probe_leaves_no_trace(error: type[BaseException]) -> None:
    model, optimizer = warmed()
    before, calls = state(model, optimizer), list[int]()

    def closure(model: nn.Module, batch: Any) -> Tensor:
        calls.append(model.calls)
        if len(calls) > 8:
            raise error
        return functional.cross_entropy(model(batch[0]), batch[1])

    with pytest.raises(error):
        search(model, optimizer, DataLoader(samples(), batch_size=16, shuffle=True), loss=None, closure=closure)
    assert state(model, optimizer) == before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, as in a user's process: one that tests for another ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_waits_until_all_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal of its own process, sent while the last restoring has only begun; the handler before is called after."""
    model, optimizer = warmed()
    before = state(model, optimizer)
    restore, handler = Snapshot.restore, signal.getsignal(signal.SIGINT)
    known_at_signal: list[bool] = []

    def interrupted(snapshot: Snapshot) -> None:
        if signal.getsignal(signal.SIGINT) is not handler:
            os.kill(os.getpid(), signal.SIGINT)
            known_at_signal.append(state(model, optimizer) == before)
        restore(snapshot)

    monkeypatch.setattr(Snapshot, "restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(model, optimizer, batches())
    assert known_at_signal == [False]
    assert state(model, optimizer) == before
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("kind", ["optimizer", "factory"])
def test_later_training_is_the_same_to_the_bit(make: Callable[[Any], torch.optim.Optimizer], kind: str) -> None:
    """Dropout, shuffling, momentum and a schedule, two epochs before the search and two after it."""

    def train(find: bool) -> list[float]:
        model, losses = net(), []
        optimizer = make(model.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
        loader = DataLoader(samples(), batch_size=16, shuffle=True)
        for epoch in range(4):
            if find and epoch == 2:
                search(model, optimizer if kind == "optimizer" else make, loader, DataLoader(samples(32), batch_size=8))
            for inputs, target in loader:
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs), target)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            scheduler.step()
        return losses

    assert train(find=True) == train(find=False)


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Adds noise of its own generator, counts its calls, and has a long list that a snapshot must not search."""

    def __init__(self) -> None:
        self.rng, self.calls, self.data = np.random.default_rng(3), 0, samples()
        self.names = [[str(index)] for index in range(20_000)]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.calls += 1
        inputs, target = self.data[index]
        return inputs + float(self.rng.normal()), target


class Reshuffled(Sampler[int]):
    """Shuffles its own list in place, each epoch from the order before."""

    def __init__(self) -> None:
        self.order, self.places, self.epoch = list(range(64)), np.arange(64), 0

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        random.shuffle(self.order)
        np.random.shuffle(self.places)
        return iter([self.order[place] for place in self.places])

    def __len__(self) -> int:
        return 64


GLOBAL_RNG = np.random.default_rng(9)


def jitter(rows: list[Any], scale: Any = None) -> Any:
    """A collate function that draws from a generator it is given and from a global one."""
    inputs, target = torch.utils.data.default_collate(rows)
    return inputs + float(GLOBAL_RNG.normal()) + (0.0 if scale is None else scale.random()), target


def loader_kinds() -> dict[str, Callable[[], DataLoader[Any]]]:
    from functools import partial

    generator = torch.Generator().manual_seed
    return {
        "plain": lambda: DataLoader(samples(), batch_size=16),
        "shuffled": lambda: DataLoader(samples(), batch_size=16, shuffle=True),
        "own generator": lambda: DataLoader(samples(), batch_size=16, shuffle=True, generator=generator(1)),
        "own noise": lambda: DataLoader(Noisy(), batch_size=16, shuffle=True),
        "own order": lambda: DataLoader(samples(), batch_size=16, sampler=Reshuffled()),
        "collate": lambda: DataLoader(samples(), batch_size=16, collate_fn=partial(jitter, scale=random.Random(3))),
        "workers": lambda: DataLoader(
            Noisy(), batch_size=16, shuffle=True, num_workers=2, persistent_workers=True, generator=generator(2)
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(loader_kinds()))
def test_the_loader_goes_on_as_if_nothing_had_been(kind: str) -> None:
    """With an iterator in use, of which one batch has been taken, and an epoch after it."""

    def epochs(find: bool) -> tuple[list[Tensor], Any]:
        global GLOBAL_RNG  # noqa: PLW0603 — the function under test names it
        GLOBAL_RNG = np.random.default_rng(9)
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)
        loader = loader_kinds()[kind]()
        using = iter(loader)
        taken = [next(using)[0]]
        if find:
            search(nn.Linear(4, 2), sgd, loader, steps=6)
            torch.manual_seed(6)  # the model's own weights have moved the global generator
        else:
            torch.manual_seed(6)
        taken += [inputs for inputs, _ in using]
        taken += [inputs for inputs, _ in loader]
        counted = loader.dataset.calls if kind == "own noise" else 0  # type: ignore[attr-defined]
        return taken, counted

    (left, count), (right, other) = epochs(find=True), epochs(find=False)
    assert len(left) == 8
    assert count == other
    for one, two in zip(left, right, strict=True):
        assert torch.equal(one, two)


def test_model_in_eval_mode_learns_in_train_mode_and_is_put_back() -> None:
    model = net()
    model.eval()
    modes: set[bool] = set()
    model.head.register_forward_pre_hook(lambda part, _: modes.add(part.training))
    search(model, sgd, batches())
    assert modes == {True, False}
    assert not any(part.training for part in model.modules())


def test_a_snapshot_finds_hidden_modules_and_restores_long_lists() -> None:
    model = nn.Linear(4, 2)
    model.numbers = list(range(1_000_000))  # type: ignore[assignment]
    model.teacher = [nn.Linear(2, 2)]  # type: ignore[assignment] # hidden from parameters()
    taken = Snapshot([model])
    assert len(taken._restores) < 100
    with torch.no_grad():
        model.teacher[0].weight.zero_()  # type: ignore[index]
    model.numbers[5] = -1  # type: ignore[index]
    taken.restore()
    assert model.numbers[5] == 5  # type: ignore[index]
    assert bool(model.teacher[0].weight.any())  # type: ignore[index]


class Wrapped(torch.optim.Optimizer):
    """Like SAM or Lookahead: an optimizer inside, with state of its own."""

    def __init__(self, parameters: Any) -> None:
        self.inner = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        super().__init__(self.inner.param_groups, {"lr": 0.1})
        self.param_groups = self.inner.param_groups

    def step(self, closure: Any = None) -> None:
        self.inner.step()


def test_an_optimizer_inside_an_optimizer_starts_anew_each_time() -> None:
    model = net()
    optimizer = Wrapped(model.parameters())
    seen = prober(model, optimizer, batches())
    first = seen.losses(0.01)
    seen.losses(0.3)
    assert seen.losses(0.01) == first
    assert optimizer.inner.state
    seen.snapshot.restore()
    search(model, optimizer, batches())
    assert not optimizer.inner.state


@pytest.mark.gpu
def test_a_gpu_is_as_it_was() -> None:
    model, optimizer = warmed()
    model.cuda()
    optimizer = sgd(model.parameters())
    before = state(model, optimizer)
    search(model, optimizer, batches(), scaler=torch.amp.GradScaler("cuda"), autocast=torch.float16, seeds=2)
    assert state(model, optimizer) == before


# --- models of many kinds --------------------------------------------------------------------------------------------


def tied() -> nn.Module:
    """One matrix in two places."""
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second, nn.Linear(4, 2))


def model_kinds() -> dict[str, Callable[[], nn.Module]]:
    from torch.nn.utils import parametrizations

    return {
        "tied": tied,
        "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4)), nn.Linear(4, 2)),
        "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 2)),
        "compiled": lambda: torch.compile(
            nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.Linear(4, 2)), backend="eager"
        ),  # type: ignore[dict-item]
        "writes into its input": lambda: nn.Sequential(nn.Hardtanh(inplace=True), nn.Linear(4, 2)),
        "channels last": lambda: nn.Sequential(
            nn.Unflatten(1, (1, 2, 2)),
            nn.Conv2d(1, 4, 2).to(memory_format=torch.channels_last),
            nn.Flatten(),
            nn.Linear(4, 2),
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(model_kinds()))
def test_models_of_many_kinds(kind: str) -> None:
    """No trace, and a rate probed twice gives the same loss."""
    torch.manual_seed(0)
    model, train = model_kinds()[kind](), batches()
    optimizer = sgd(model.parameters())
    if kind == "compiled":
        model(train[0][0])

    def everything() -> list[Any]:
        tensors = [*model.state_dict(keep_vars=True).values(), *(tensor for batch in train for tensor in batch)]
        return [[bits(tensor) for tensor in tensors], [part.training for part in model.modules()], random_states()]

    before = everything()
    search(model, optimizer, train)
    seen = prober(model, optimizer, train)
    with put_back(seen.snapshot):
        first = seen.losses(0.1)
        seen.losses(3.0)
        assert seen.losses(0.1) == first
    assert everything() == before
    assert not optimizer.state


def test_sparse_gradients_and_those_that_are_there_already() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(10, 4, sparse=True), nn.Linear(4, 2))
    train = [(torch.randint(10, (8, 3)), torch.randint(2, (8,))) for _ in range(3)]
    functional.cross_entropy(model(train[0][0]), train[0][1]).backward()
    gradient = model[0].weight.grad
    values = gradient.to_dense().clone()
    search(model, torch.optim.SGD(model.parameters(), lr=0.1), train)
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient.to_dense(), values)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_a_context_around_the_call_changes_nothing(around: Callable[[], Any]) -> None:
    model, train = net(), batches()
    expected = search(model, sgd, train, autocast=torch.bfloat16)
    with around():
        found = search(model, sgd, train, autocast=torch.bfloat16)
    assert found.points == expected.points


# --- batches, precision, groups --------------------------------------------------------------------------------------


def quadratic_losses(train: Any, validation: Any = None, **settings: Any) -> list[float]:
    torch.manual_seed(1)
    found = search(nn.Linear(4, 2), sgd, train, validation, budget=5, **settings)
    return [point.loss for point in found.points]


def test_batches_of_any_shape_give_the_same_losses() -> None:
    class Keywords(nn.Linear):
        def forward(self, inputs: Tensor, target: Any = None) -> Tensor:  # type: ignore[override]
            return super().forward(inputs)

    pairs = batches()
    expected = quadratic_losses(pairs)
    assert quadratic_losses([[inputs, target] for inputs, target in pairs]) == expected
    records = [SimpleNamespace(inputs=inputs, target=target) for inputs, target in pairs]

    def closure(model: nn.Module, batch: SimpleNamespace) -> Tensor:
        return functional.cross_entropy(model(batch.inputs), batch.target)

    assert quadratic_losses(records, loss=None, closure=closure) == expected
    torch.manual_seed(1)
    named = [{"inputs": inputs, "target": target} for inputs, target in pairs]

    def of_mapping(output: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return functional.cross_entropy(output, batch["target"])

    found = search(Keywords(4, 2), sgd, named, budget=5, loss=of_mapping)
    assert [point.loss for point in found.points] == expected


def test_validation_is_a_loader_a_list_or_a_batch() -> None:
    pairs, (held,) = batches(), batches(1)
    expected = quadratic_losses(pairs, [held])
    assert quadratic_losses(pairs, held) == expected
    assert quadratic_losses(pairs, list(held)) == expected
    assert quadratic_losses(pairs, DataLoader(samples(16), batch_size=16)) == expected
    assert expected != quadratic_losses(pairs)
    nested = [((inputs, inputs), target) for inputs, target in pairs]
    first = ((held[0], held[0]), held[1])

    def closure(model: nn.Module, batch: Any) -> Tensor:
        return functional.cross_entropy(model(batch[0][0]), batch[1])

    assert quadratic_losses(nested, first, loss=None, closure=closure) == expected
    tensors = [inputs for inputs, _ in pairs]

    def own(model: nn.Module, batch: Tensor) -> Tensor:
        assert batch.shape == (16, 4)
        return model(batch).square().mean()

    quadratic_losses(tensors, tensors[:2], loss=None, closure=own)


def search_until_found(validation: Any) -> LearningRates:
    torch.manual_seed(1)
    return search(nn.Linear(4, 2), sgd, batches(), validation, budget=14, steps=8)


def test_accumulated_batches_equal_the_big_batch() -> None:
    small, big = list(DataLoader(samples(), batch_size=8)), list(DataLoader(samples(), batch_size=16))
    one, two = quadratic_losses(small, big, accumulate=2), quadratic_losses(big, big)
    assert one == pytest.approx(two, rel=1e-4)
    assert min(two) < 0.9 * max(two)


def test_groups_keep_the_ratio_of_their_rates() -> None:
    model, rates = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), []

    class Noted(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            rates.append([float(group["lr"]) for group in self.param_groups])
            super().step()

    def groups(high: Any, low: Any) -> list[dict[str, Any]]:
        return [{"params": model[0].parameters(), "lr": low}, {"params": model[1].parameters(), "lr": high}]

    for high, low in ((0.4, 0.1), (torch.tensor(0.4), torch.tensor(0.1))):
        optimizer = Noted(groups(high, low))
        found = search(model, optimizer, batches(), steps=1)
        assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.1, 0.4])
        assert {round(first / second, 5) for first, second in rates} == {0.25}
        probed = sorted(point.learning_rate for point in found.points)
        assert sorted(second for _, second in rates) == pytest.approx(probed)
        rates.clear()
    optimizer = Noted(groups(0.4, 0.1))
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: epoch / 10)  # a warm-up from 0
    search(model, optimizer, batches(), steps=1)
    assert {round(first / second, 5) for first, second in rates} == {0.25}


def test_half_precision_and_a_scaler() -> None:
    model, train = net(), batches()
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
    before = state(model, optimizer, scaler)
    dtypes: set[torch.dtype] = set()
    hook = model.head.register_forward_hook(lambda *call: dtypes.add(call[2].dtype))
    half = search(model, optimizer, train, autocast=torch.bfloat16, scaler=scaler, clip_norm=1.0)
    hook.remove()
    assert dtypes == {torch.bfloat16}
    assert state(model, optimizer, scaler)[1:] == before[1:]
    scaled = search(model, optimizer, train, scaler=scaler, clip_norm=1.0)
    plain = search(model, optimizer, train, clip_norm=1.0)
    assert [point.loss for point in scaled.points] == pytest.approx([point.loss for point in plain.points], rel=1e-4)
    assert [point.loss for point in half.points] == pytest.approx([point.loss for point in plain.points], rel=0.1)


def test_clipped_gradients_move_weights_by_no_more_than_the_rate() -> None:
    model = nn.Linear(4, 2)
    seen = prober(model, torch.optim.SGD(model.parameters(), lr=1.0), batches(1), clip_norm=1e-3)
    start = model.weight.detach().clone()
    seen.losses(1.0)
    moved = (model.weight.detach() - start).norm()
    assert 0 < moved <= 1.001e-3


def test_batch_norm_uses_the_batch_while_dropout_is_off() -> None:
    """Running statistics that are far off change nothing, in no module that learns; a frozen one uses them."""
    train = batches()

    def at_rate_zero(model: nn.Module) -> float:
        return search(model, sgd, train, budget=1).initial_loss

    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    expected = np.mean(
        [
            functional.cross_entropy(model[2](functional.batch_norm(inputs, None, None, training=True)), target).item()
            for inputs, target in train[:3]
        ]
    )
    assert at_rate_zero(model) == pytest.approx(float(expected), rel=1e-5)
    model[0].running_mean.fill_(50.0)
    assert at_rate_zero(model) == pytest.approx(float(expected), rel=1e-5)
    model[0].eval()
    assert at_rate_zero(model) != pytest.approx(float(expected), rel=1e-2)


def test_a_last_validation_batch_of_one_sample_is_left_out() -> None:
    """Batch norm would refuse it."""
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    odd = search(model, sgd, batches(), DataLoader(samples(33), batch_size=16))
    even = search(model, sgd, batches(), DataLoader(samples(33), batch_size=16, drop_last=True))
    assert odd.points == even.points


def test_a_short_loader_begins_again_and_costs_are_exact() -> None:
    found = search(nn.Linear(4, 2), sgd, batches(2), batches(5), steps=7, validation_steps=3, accumulate=2, budget=3)
    assert found.steps == 3 * 7
    assert found.cost == pytest.approx((3 * 14 + 4 * 3 / 3) / 2)


def test_a_diverged_probe_stops_at_once() -> None:
    optimizer = sgd((model := nn.Linear(4, 2)).parameters())
    seen = prober(model, optimizer, batches(6), loss=lambda output, target: output.square().mean().exp())
    assert seen.losses(1e6) == [math.inf]
    assert (seen.cost.steps, seen.cost.trained_batches, seen.cost.evaluated_batches) == (2, 2, 0)


def test_a_loss_that_raises_for_nan_has_diverged() -> None:
    """As binary_cross_entropy does."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid(), nn.Flatten(0))
    with torch.no_grad():
        model[0].weight.fill_(math.nan)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return functional.binary_cross_entropy(output, target.float())

    seen = prober(model, sgd(model.parameters()), batches(6), loss=loss)
    assert seen.losses(0.1) == [math.inf]


@pytest.mark.slow
def test_intervals_come_from_the_seeds() -> None:
    torch.manual_seed(1)
    found = search(nn.Linear(4, 2), sgd, batches(24), batches(2), steps=8, seeds=3, budget=14)
    assert all(len(point.losses) == 3 for point in found.points)
    assert found.points[0].loss == pytest.approx(sum(found.points[0].losses) / 3)
    assert found.steps <= 14 * 3 * 8
    pick = found.found.log_midpoint
    assert pick.low <= pick.learning_rate <= pick.high
    neighbours = search(nn.Linear(4, 2), sgd, batches(24), batches(2), steps=8, budget=14).found.log_midpoint
    assert neighbours.low < neighbours.learning_rate < neighbours.high


# --- answers ---------------------------------------------------------------------------------------------------------


def test_the_result_has_picks_intervals_and_cost() -> None:
    found = search_until_found(batches(1))
    pick = found.found.log_midpoint
    assert found.learning_rate == pick.learning_rate
    assert found.window[0] < found.learning_rate < found.window[1]
    assert f"{found.learning_rate:.3g} [{pick.low:.2g}, {pick.high:.2g}]" in str(found)
    assert "validation loss" in str(found)
    assert f"cost: {len(found.points)} learning rates, {found.steps} steps" in str(found)
    alone = search_until_found(None)
    assert alone.evaluated_on == "training"
    assert "training loss" in str(alone)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [14, 1])
def test_a_figure_with_two_axes_and_no_pyplot(budget: int) -> None:
    import subprocess
    import sys

    torch.manual_seed(1)
    found = search(nn.Linear(4, 2), sgd, batches(), steps=8, budget=budget)
    assert (found.picks is None) == (budget == 1)
    assert len(found.figure().axes) == (2 if found.picks else 1)
    assert found._repr_png_().startswith(b"\x89PNG\r\n")
    probe = "import sys, matplotlib.figure, flatdirs.lr_finder.figure; sys.exit('matplotlib.pyplot' in sys.modules)"
    if budget == 1:
        assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_a_curve_without_picks_is_an_error() -> None:
    found = search(nn.Linear(4, 2), sgd, batches(), budget=1)
    with refused(FinderError, "budget"):
        _ = found.learning_rate
    assert "budget=1" in str(found)
    assert "cost: 1 learning rates, 3 steps" in str(found)


@pytest.mark.slow
def test_the_range_widens_by_itself() -> None:
    """The minimum lies beyond `highest`, the plateau below `lowest`: the answer is that of the wide range."""

    def learnt(**settings: Any) -> LearningRates:
        torch.manual_seed(1)
        return search(nn.Linear(4, 2), torch.optim.SGD, batches(), budget=None, threshold=0.25, steps=8, **settings)

    wide = learnt()
    for settings in ({"highest": 0.01}, {"lowest": 10.0, "highest": 100.0}):
        assert learnt(**settings).learning_rate == pytest.approx(wide.learning_rate, rel=0.5)


def test_a_bar_on_standard_error(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    find_learning_rate(nn.Linear(4, 2), functional.cross_entropy, sgd, batches(), steps=1, budget=2)
    out, err = capfd.readouterr()
    assert not out
    assert "2/2" in err


# --- bad input -------------------------------------------------------------------------------------------------------


class Nothing(IterableDataset[Tensor]):
    """A stream without a sample."""

    def __iter__(self) -> Iterator[Tensor]:
        return iter(())


def a_loss_of(value: Any) -> Callable[[Any, Any], Any]:
    return lambda output, target: value if not isinstance(value, float) else output.sum() * value


def inference_model() -> nn.Module:
    with torch.inference_mode():
        return nn.Linear(4, 2)


BAD: dict[str, list[Any]] = {
    "model": [3, nn.Linear(4, 2).requires_grad_(False), nn.ReLU(), nn.LazyLinear(2), inference_model()],
    "train": [
        *([], 3, iter(batches()), (batch for batch in batches())),
        *(DataLoader(TensorDataset(torch.zeros(0, 4))), DataLoader(Nothing())),
    ],
    "validation": [[], iter(batches())],
    "steps": [0, True, 2.5],
    "seeds": [0],
    "accumulate": [0],
    "validation_steps": [-1],
    "budget": [0, 1.5],
    "lowest": [0, -1.0, math.nan],
    "highest": [math.inf, 1e307, 1e-6],
    "threshold": [0.0],
    "loss": [
        *(None, "cross_entropy", nn.CrossEntropyLoss, lambda output, target: output[0]),
        *(a_loss_of(value) for value in (3, math.nan, math.inf, torch.tensor(1.0))),
    ],
    "optimizer": [None, lambda parameters: 0.1, torch.optim.LBFGS, sgd(nn.Linear(4, 2).parameters())],
    "autocast": [True],
    "scaler": [2.0],
    "clip_norm": [0.0],
}


@pytest.mark.parametrize("key", BAD)
def test_unusable_arguments_are_refused(key: str) -> None:
    for value in BAD[key]:
        given = {"model": nn.Linear(4, 2), "optimizer": sgd, "train": batches(), "validation": None, key: value}
        with refused(FinderError, key):
            search(given.pop("model"), given.pop("optimizer"), given.pop("train"), given.pop("validation"), **given)


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with refused(FinderError, "loss"):
        search(nn.Linear(4, 2), sgd, batches(), closure=lambda model, batch: None)
    with refused(FinderError, "closure"):
        search(nn.Linear(4, 2), sgd, torch.zeros(8, 4))
    model = net()
    with refused(FinderError, "optimizer"):
        search(model, sgd(model.frozen.parameters()), batches())


def test_parameters_outside_the_optimizer_keep_their_gradients() -> None:
    """Only the head is tuned: the body's gradients are filled by every probe, and are as before."""
    model, _ = warmed()
    gradients = copy.deepcopy([parameter.grad for parameter in model.body.parameters()])
    search(model, sgd(model.head.parameters()), batches())
    for parameter, gradient in zip(model.body.parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_the_default_budget_of_validation_batches() -> None:
    found = search(nn.Linear(4, 2), sgd, batches(), batches(20), budget=1)
    assert found.cost == pytest.approx(3 + 2 * finder.VALIDATION_STEPS / 3)
