"""One run of the plan: images, network, optimizer, the loop, and what is kept of it as text for a row.

Nothing waits for the device between two looks at the curvature. The loss is that of the step's batch before the step;
looks are on all training images. At a look, from the same weights and the same state of the base, one step of σ = 1, one
of σ = 2 and one of a line search are tried and taken back; a gain is by how much one lowers the loss. The search guesses
as its own runs do, 1.5 times the rate of the step just taken, whoever took it. On the run of a constant rate, a step of
that rate is tried as well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cdat import thinning
from benchmarks.cdat.plan import AROUND, CAP, HOPELESS, LAST, MOST_IMAGES, PROBLEMS, WARMUP, Problem, Run
from flatdirs.curvature.cdat import CDAT
from flatdirs.curvature.line_search import ArmijoLineSearch
from flatdirs.curvature.log import CurvatureLog
from flatdirs.curvature.sharpness import NotFoundError, sharpness
from flatdirs.training.data import load
from flatdirs.training.model import build_model
from flatdirs.training.schedule import triangle
from flatdirs.training.task import CLASSES, DataConfig, ImageTask

SAMPLES = 100  # points of a loss curve, of which a row keeps `Run.points`
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Ground:
    """A network, the images it is trained on and the loss of its output."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    loss: Loss

    def on(self, chosen: Tensor | None = None) -> Tensor:
        """The mean loss of all images, or of those."""
        images, labels = (self.images, self.labels) if chosen is None else (self.images[chosen], self.labels[chosen])
        return self.loss(self.model(images), labels)


def squared(output: Tensor, labels: Tensor) -> Tensor:
    """½|output − one-hot|², its mean over the images."""
    return 0.5 * (output - functional.one_hot(labels, CLASSES)).square().sum(dim=1).mean()


LOSSES: dict[str, Loss] = {"squared": squared, "cross_entropy": functional.cross_entropy}


def mlp(inputs: int, width: int, depth: int, seed: int) -> nn.Module:
    """`depth` hidden layers of tanh; weights as torch draws them, a function of the seed; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [inputs, *[width] * depth]
        hidden = [layer for ins, outs in pairwise(sizes) for layer in (nn.Linear(ins, outs), nn.Tanh())]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], CLASSES))


def problem_of(run: Run) -> Problem:
    """The run's problem with its variation in it."""
    varied = {name: getattr(run, name) for name in ("width", "depth", "images") if getattr(run, name)}
    return replace(PROBLEMS[run.problem], **varied)


def ground(run: Run, data: DataConfig, device: torch.device) -> Ground:
    """Everything the run starts from. Raises DataError where the images are not there."""
    problem = problem_of(run)
    task = ImageTask(problem.name, problem.dataset, 1, 1, 1, problem.size, MOST_IMAGES, 100, 100)
    split = load(task, data, device)
    images, labels = split.train.images[: problem.images], split.train.labels[: problem.images]
    if problem.network == "mlp":
        model = mlp(images[0].numel(), problem.width, problem.depth, run.seed).to(device)
    else:
        model = build_model(split.channels, split.classes, problem.width, run.seed, device)
    return Ground(model.train(), images, labels, LOSSES[problem.loss])


def build(run: Run, model: nn.Module) -> torch.optim.Optimizer:
    """The run's optimizer."""
    parameters = list(model.parameters())
    if run.method == "cdat":
        return CDAT(
            parameters,
            run.base,
            sigma=run.value,
            ema=run.ema,
            max_learning_rate=CAP[run.base],
            weight_decay=run.decay,
        )
    if run.method == "linesearch":
        return ArmijoLineSearch(parameters, run.base, max_learning_rate=CAP[run.base], weight_decay=run.decay)
    kind: Any = {"gd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}[run.base]
    optimizer: torch.optim.Optimizer = kind(parameters, lr=run.value, weight_decay=run.decay)
    return optimizer


def batches(run: Run, count: int, device: torch.device) -> Iterator[Tensor | None]:
    """The images of every step: None for all; without replacement within an epoch."""
    if not run.batch or run.batch >= count:
        while True:
            yield None
    generator = torch.Generator().manual_seed(1000 + run.seed)
    while True:
        order = torch.randperm(count, generator=generator).to(device)
        for begin in range(0, count - run.batch + 1, run.batch):
            yield order[begin : begin + run.batch]


def train(run: Run, data: DataConfig, device: torch.device) -> dict[str, Any]:
    """Train; the measured part of a row."""
    found = ground(run, data, device)
    optimizer, begin = build(run, found.model), time.perf_counter()
    look = run.role == "compare" and run.part == "full_batch"
    every, looks, gained = problem_of(run).every, [], []
    with torch.no_grad():
        initial = float(found.on())
    log = CurvatureLog(found.model, optimizer, found.loss, (found.images, found.labels), every=every) if look else None
    losses, rates, chosen = [], [], batches(run, len(found.labels), device)
    for step in range(1, run.steps + 1):
        if run.method == "schedule":
            for group in optimizer.param_groups:
                group["lr"] = run.value * triangle(step - 1, run.steps, WARMUP)
        losses.append(one_step(optimizer, found, next(chosen)))
        rates.append(optimizer.param_groups[0]["lr"])
        if step % every == 0:
            last = float(losses[-1])
            if not math.isfinite(last) or last > HOPELESS * initial:
                break
            if look:
                gained.append(gains(run, optimizer, found))
    if log is not None:
        log.close()
        looks = log.records
    return told(run, found, initial, losses, rates, looks, gained) | {"seconds": f"{time.perf_counter() - begin:.2f}"}


def one_step(optimizer: torch.optim.Optimizer, found: Ground, chosen: Tensor | None) -> Tensor:
    """One step of whichever optimizer; the loss before it."""

    def plain() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = found.on(chosen)
        loss.backward()
        return loss

    step: Any = optimizer.step
    closure = (lambda: found.on(chosen)) if hasattr(optimizer, "learning_rate") else plain
    loss: Tensor = step(closure)
    return loss.detach()


def gains(run: Run, optimizer: torch.optim.Optimizer, found: Ground) -> tuple[float, float, float, float]:
    """By how much one step of σ = 1, σ = 2, the constant rate and a line search would lower the loss; nothing changes.

    That of the constant rate is nan on other runs.
    """
    parameters = list(found.model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    greedy = CDAT(parameters, run.base, sigma=1.0, max_learning_rate=None, weight_decay=run.decay)
    guess = 1.5 * float(optimizer.param_groups[0]["lr"])
    cap = min(CAP[run.base], guess) or CAP[run.base]  # a search that found nothing begins anew
    search = ArmijoLineSearch(parameters, run.base, max_learning_rate=cap, weight_decay=run.decay)
    results = []
    for twin, sigmas in ((greedy, (1.0, 2.0, math.nan)), (search, (1.0,))):
        for parameter in parameters:
            state = optimizer.state.get(parameter, {})
            twin.state[parameter] = {key: value.clone() for key, value in state.items()}
        here = twin.step(found.on)
        after = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            own = run.value / float(greedy.learning_rate or math.nan) if run.method == "constant" else math.nan
            for multiple in (own if math.isnan(sigma) else sigma for sigma in sigmas):
                for parameter, old, new in zip(parameters, before, after, strict=True):
                    parameter.copy_(old + multiple * (new - old))
                results.append(float(here - found.on()))
            for parameter, old in zip(parameters, before, strict=True):
                parameter.copy_(old)
    return results[0], results[1], results[2], results[3]


def told(
    run: Run,
    found: Ground,
    initial: float,
    losses: list[Tensor],
    rates: list[Any],
    looks: list[Any],
    gains_at_looks: list[Any],
) -> dict[str, Any]:
    """The columns behind the run's own."""
    values = torch.stack(losses).double().cpu()
    steps = (torch.stack(rates) if isinstance(rates[0], Tensor) else torch.tensor(rates)).double().cpu()
    with torch.no_grad():
        whole = float(found.on())
    end = float(values[-LAST:].mean()) if not run.batch else whole
    diverged = len(losses) < run.steps or not math.isfinite(end) or end > HOPELESS * initial
    stride = max(1, run.steps // SAMPLES)
    return {
        "steps": run.steps,
        "state": "diverged" if diverged else "finished",
        "initial_loss": f"{initial:.6g}",
        "end_loss": f"{end:.6g}",
        "end_sharpness": "" if diverged or run.part == "full_batch" else last_sharpness(found),
        "curve": thinning.curve(
            run,
            ";".join(
                f"{i + 1}:{values[i]:.4g}:{steps[i]:.4g}"
                for i in range(len(losses))
                if i % stride == 0 or run.steps == i + 1
            ),
        ),
        "looks": ";".join(
            f"{r.step}:{r.learning_rate:.4g}:{r.loss:.4g}:{r.sharpness:.4g}:{r.ratio:.4g}:{abs(r.alignment):.3g}:"
            f"{':'.join(f'{gain:.4g}' for gain in gained)}:{steps[max(0, r.step - AROUND) : r.step].mean():.4g}"
            for r, gained in zip(looks, gains_at_looks, strict=False)
        ),
    }


def last_sharpness(found: Ground) -> str:
    """λmax of the Hessian on all images, where the run ended; empty where it cannot be had."""
    try:
        return f"{sharpness(found.model, found.loss, (found.images, found.labels)).value:.5g}"
    except NotFoundError:
        return ""
