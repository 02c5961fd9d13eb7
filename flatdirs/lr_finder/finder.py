"""`find_learning_rate`: a learning rate for any torch model, from a few short probes that leave the model unchanged.

    loader → batches (drawn once) → probe at the rate that the range search asks for → curve → … → result

The method is step sampling, https://openreview.net/forum?id=Q1XWSM8ftl; the other modules say what is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from flatdirs.errors import FinderError
from flatdirs.lr_finder.batches import Closure, closure_of, draw, draw_validation
from flatdirs.lr_finder.picks import Point, mean_curve
from flatdirs.lr_finder.probe import Prober
from flatdirs.lr_finder.progress import progress_bar
from flatdirs.lr_finder.range_search import RangeSearch
from flatdirs.lr_finder.result import LearningRates, result_of
from flatdirs.lr_finder.snapshot import STATEFUL, Snapshot, put_back
from flatdirs.setting_checks import require_integer, require_number, wrong

VALIDATION_STEPS = 16  # batches of a validation loader

OptimizerFactory = Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]


def find_learning_rate(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor] | None,
    optimizer: torch.optim.Optimizer | OptimizerFactory,
    train: Iterable[Any],
    validation: Any = None,
    *,
    steps: int = 20,
    budget: int | None = 14,
    threshold: float = 0.1,
    seeds: int = 1,
    lowest: float = 1e-6,
    highest: float = 10.0,
    validation_steps: int = VALIDATION_STEPS,
    closure: Closure | None = None,
    accumulate: int = 1,
    autocast: torch.dtype | None = None,
    scaler: Any = None,
    clip_norm: float | None = None,
    progress: bool = True,
) -> LearningRates:
    """Train a few steps at several constant learning rates, each time from the same state, and read the loss curve.

    The result is a good constant rate, or a rate to start a search from; the best peak of a schedule is higher.
    Afterwards model, optimizer, scaler, loaders and all random generators are exactly as before, also after an
    exception or Ctrl-C. Other state is not restored: streams that can be read only once, weight averages in hooks.

    Args:
        model: probed on its device. In training mode its modules keep their modes (frozen batch norm); a model in
            evaluation mode is put in training mode as a whole.
        loss: (output, target) → scalar tensor, mean or sum, for batches (inputs, target); (output, batch) → scalar for
            mappings, which the model gets as keywords. None with `closure`.
        optimizer: one of the parameters of the model, whose state and settings every probe starts with, or a function
            that makes one of parameters. With several parameter groups the rate is the highest; ratios are kept.
        train: a loader or list of batches; the first `steps` × `accumulate` × `seeds` are held in memory.
        validation: a loader or list, one batch, or None: then the training loss counts, and the result says so.
        steps: optimizer steps per probe.
        budget: learning rates to probe, None for as many as `threshold` needs.
        threshold: gap in decades at which a point of interest is known.
        seeds: probes per rate, each with other batches; they give the intervals.
        lowest: of the initial range, which widens if necessary.
        highest: of the same.
        validation_steps: most batches of a validation loader.
        closure: (model, batch) → scalar tensor, for any other batches; also evaluated without gradients.
        accumulate: batches per step; the mean of their losses counts.
        autocast: dtype of mixed precision, None for none.
        scaler: a torch.amp.GradScaler, for float16.
        clip_norm: largest gradient norm of a step, None for no limit.
        progress: show a bar on standard error.

    Raises:
        FinderError: unusable arguments: no trainable parameter, no batch, a loss that is not a finite scalar at rate 0,
            a value out of range.
    """
    search = RangeSearch(lowest, highest, threshold, budget)
    counts = {"steps": steps, "seeds": seeds, "validation_steps": validation_steps, "accumulate": accumulate}
    for name, value in counts.items():
        require_integer(name, value, 1, error=FinderError)
    _check_precision(autocast, scaler, clip_norm)
    _check_model(model)
    held = [part for part in (model, loss, closure, scaler, optimizer) if isinstance(part, STATEFUL)]
    with _learning(), _guarded(model, optimizer, held, (train, validation, loss, closure)) as (rule, snapshot):
        device = next(model.parameters()).device
        batches = draw(train, steps * accumulate * seeds, "train")
        count = steps * accumulate
        prober = Prober(
            model,
            rule,
            closure_of(loss, closure, autocast, device),
            [batches[seed * count : (seed + 1) * count] for seed in range(seeds)],
            None if validation is None else draw_validation(validation, validation_steps, batches[0]),
            snapshot,
            device,
            accumulate,
            scaler,
            clip_norm,
        )
        return _run(prober, search, seeds, progress)


def _run(prober: Prober, search: RangeSearch, seeds: int, progress: bool) -> LearningRates:
    initial = prober.initial_losses()
    points: list[Point] = []
    with progress_bar(search.budget, progress) as advance:
        while (x := search.next(mean_curve(initial, points))) is not None:
            losses = prober.losses(10**x)
            points.append(Point(10**x, sum(losses) / seeds, tuple(losses)))
            advance(points[-1])
    evaluated_on = "training" if prober.validation is None else "validation"
    return result_of(initial, points, search, evaluated_on, prober.cost, prober.accumulate)


@contextmanager
def _learning() -> Iterator[None]:
    """Gradients, even if the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _guarded(
    model: nn.Module, optimizer: Any, held: Sequence[Any], sources: Sequence[Any]
) -> Iterator[tuple[torch.optim.Optimizer, Snapshot]]:
    """The optimizer and the initial state of every probe; restores everything at the end."""
    snapshot = Snapshot(held, sources)
    with put_back(snapshot):
        made = not isinstance(optimizer, torch.optim.Optimizer) and callable(optimizer)
        rule = optimizer(model.parameters()) if made else optimizer
        _check_optimizer(rule, model)
        snapshot.add([rule])
        yield rule, snapshot


def _check_precision(autocast: Any, scaler: Any, clip_norm: Any) -> None:
    if autocast is not None and not isinstance(autocast, torch.dtype):
        raise wrong("autocast", autocast, "must be a torch.dtype or None", FinderError)
    if scaler is not None and not isinstance(scaler, torch.amp.GradScaler):
        raise FinderError(f"scaler is a {type(scaler).__name__}; pass a torch.amp.GradScaler or None", key="scaler")
    if clip_norm is not None:
        require_number("clip_norm", clip_norm, 0, above=True, error=FinderError)


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise FinderError(f"model is a {type(model).__name__}; pass a torch.nn.Module", key="model")
    parameters = list(model.parameters())
    problem = None
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        problem = "the model contains a torch.jit.ScriptModule; pass the model before scripting"
    elif any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        problem = "the model has lazy parameters; run one batch through it first"
    elif not any(parameter.requires_grad for parameter in parameters):
        problem = "the model has no trainable parameter; set requires_grad"
    elif any(parameter.is_inference() for parameter in parameters):
        problem = "the model was made in inference mode and cannot be trained; make it outside of it"
    if problem is not None:
        raise FinderError(problem, key="model")


def _check_optimizer(rule: Any, model: nn.Module) -> None:
    if not isinstance(rule, torch.optim.Optimizer):
        raise FinderError(
            f"optimizer is or makes a {type(rule).__name__}; pass a torch optimizer or a function that makes one",
            key="optimizer",
        )
    if isinstance(rule, torch.optim.LBFGS):
        raise FinderError(
            "optimizer=LBFGS chooses its own step sizes; pass an optimizer with a learning rate", key="optimizer"
        )
    own = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if not any(id(parameter) in own for group in rule.param_groups for parameter in group["params"]):
        raise FinderError(
            "the optimizer has no trainable parameter of the model; give it those of the model", key="optimizer"
        )
