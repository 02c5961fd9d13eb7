"""`find_learning_rate`: a learning rate for any torch model, from a few short probes that leave no trace.

    loader → batches (drawn once) → probe at the rate that placement asks for → curve → … → result

Source: reference/001, "learning rate optimization through step sampling"; the modules beside this one say what is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from flatdirs.errors import FinderError
from flatdirs.lr_finder.batches import Closure, closure_of, draw, draw_validation
from flatdirs.lr_finder.probe import Prober
from flatdirs.lr_finder.progress import progress_bar
from flatdirs.lr_finder.range_search import Placement
from flatdirs.lr_finder.result import LearningRates, Point, curve_of, read_curve
from flatdirs.lr_finder.snapshot import STATEFUL, Snapshot, put_back

VALIDATION_STEPS = 16  # batches of a loader that judge a probe

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
    """Train a few steps at each of some constant learning rates, every time from the same state, and read the curve.

    The rate found is a good constant rate, or one to start from; the peak of a schedule is another number. The model,
    the optimizer, the scaler, the loaders and every random generator are afterwards what they were before, to the bit,
    also when a probe raises or Ctrl-C arrives. State outside of these is not seen: a stream that can be read only once,
    an average of the weights that a hook keeps elsewhere.

    Args:
        model: probed where its parameters are (any device). In training mode, modules in it that are not stay as they
            are (frozen batch norm); a model in evaluation mode is put in training mode as a whole.
        loss: (output, target) → scalar tensor, mean or sum, for batches (inputs, target); (output, batch) → scalar for
            mappings, which the model gets as keywords. None with `closure`.
        optimizer: one over the model's parameters, whose state and settings every probe begins with, or a
            factory, given the parameters. Of several parameter groups the highest rate is meant; ratios are kept.
        train: a loader or list of batches; the first `steps` × `accumulate` × `seeds` are held in memory and used.
        validation: a loader or list, a batch, or None: then the training batches judge, and the result says so.
        steps: optimizer steps of a probe.
        budget: learning rates to probe, None for as many as `threshold` asks for.
        threshold: gap in decades below which a point of interest is known.
        seeds: probes a rate, each on the next stretch of batches; their spread gives the intervals.
        lowest: of the range to begin with; it widens by itself.
        highest: of the same.
        validation_steps: most batches of a validation loader that are used.
        closure: (model, batch) → scalar tensor, for batches of any other kind; judged without gradients.
        accumulate: batches a step; the mean of their losses counts.
        autocast: dtype of mixed precision, None for none.
        scaler: a torch.amp.GradScaler, for float16.
        clip_norm: gradients are clipped to this norm, None for not at all.
        progress: show a bar on standard error.

    Raises:
        FinderError: something that no finder could work with: nothing that learns, no batch, a loss that is not a
            finite scalar at rate 0, a value out of range. One sentence.
    """
    placement = Placement(lowest, highest, threshold, budget)
    _refuse_counts(steps=steps, seeds=seeds, validation_steps=validation_steps, accumulate=accumulate)
    _refuse_precision(autocast, scaler, clip_norm)
    _refuse_model(model)
    held = [part for part in (model, loss, closure, scaler, optimizer) if isinstance(part, STATEFUL)]
    with _learning(), _guarded(model, optimizer, held, (train, validation, loss, closure)) as (rule, snapshot):
        device = next(model.parameters()).device
        batches = draw(train, steps * accumulate * seeds, "train")
        stretch = steps * accumulate
        prober = Prober(
            model,
            rule,
            closure_of(loss, closure, autocast, device),
            [batches[seed * stretch : (seed + 1) * stretch] for seed in range(seeds)],
            None if validation is None else draw_validation(validation, validation_steps, batches[0]),
            snapshot,
            device,
            accumulate,
            scaler,
            clip_norm,
        )
        return _search(prober, placement, seeds, progress)


def _search(prober: Prober, placement: Placement, seeds: int, progress: bool) -> LearningRates:
    """Probe where the placement asks for it; the answer."""
    initial = prober.initial_losses()
    points: list[Point] = []
    with progress_bar(placement.budget, progress) as advance:
        while (x := placement.next(curve_of(initial, points))) is not None:
            losses = prober.losses(10**x)
            points.append(Point(10**x, sum(losses) / seeds, tuple(losses)))
            advance(points[-1])
    judged = "training" if prober.judged is None else "validation"
    return read_curve(initial, points, placement, judged, prober.cost, prober.accumulate)


@contextmanager
def _learning() -> Iterator[None]:
    """Gradients, whatever the caller has switched off around the call."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _guarded(
    model: nn.Module, optimizer: Any, held: Sequence[Any], sources: Sequence[Any]
) -> Iterator[tuple[torch.optim.Optimizer, Snapshot]]:
    """The optimizer and the state to begin every probe from; in the end everything is as it was before."""
    snapshot = Snapshot(held, sources)
    with put_back(snapshot):
        made = not isinstance(optimizer, torch.optim.Optimizer) and callable(optimizer)
        rule = optimizer(model.parameters()) if made else optimizer
        _refuse_optimizer(rule, model)
        snapshot.add([rule])
        yield rule, snapshot


def _refuse_counts(**counts: Any) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise FinderError(f"{name}={value} must be a whole number, 1 or more; change {name}")


def _refuse_precision(autocast: Any, scaler: Any, clip_norm: Any) -> None:
    if autocast is not None and not isinstance(autocast, torch.dtype):
        raise FinderError(f"autocast={autocast} must be a torch.dtype or None; change autocast")
    if scaler is not None and not isinstance(scaler, torch.amp.GradScaler):
        raise FinderError(f"scaler is a {type(scaler).__name__}; pass a torch.amp.GradScaler or None")
    if clip_norm is not None and not (isinstance(clip_norm, (int, float)) and clip_norm > 0):
        raise FinderError(f"clip_norm={clip_norm} must be a number above 0 or None; change clip_norm")


def _refuse_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise FinderError(f"model is a {type(model).__name__}; pass a torch.nn.Module")
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        raise FinderError("the model holds a torch.jit.ScriptModule; pass a model with the module that was scripted")
    parameters = list(model.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        raise FinderError("the model has lazy parameters; run one batch through the model first")
    if not any(parameter.requires_grad for parameter in parameters):
        raise FinderError("the model has no parameter that learns; set requires_grad on what is to be trained")
    if any(parameter.is_inference() for parameter in parameters):
        raise FinderError("the model was made in inference mode and cannot learn; make the model outside of it")


def _refuse_optimizer(rule: Any, model: nn.Module) -> None:
    if not isinstance(rule, torch.optim.Optimizer):
        raise FinderError(
            f"optimizer gave a {type(rule).__name__}; pass a torch optimizer or a function that makes one"
        )
    if isinstance(rule, torch.optim.LBFGS):
        raise FinderError("optimizer=LBFGS chooses its own steps; pass an optimizer whose step is one update")
    own = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    if not any(id(parameter) in own for group in rule.param_groups for parameter in group["params"]):
        raise FinderError("the optimizer holds no parameter of the model that learns; give it the model's")
