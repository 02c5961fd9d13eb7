"""One run of the plan: images, network, optimizer, the loop, and its row.

The loss of a step is that of its batch before it; looks at the curvature are on all training images. At a look, from the same
weights and the same state of the base optimizer, one step of σ = 1, of σ = 2, of the run's own constant lr and of a line search
are tried and taken back. The search guesses as its own runs do, 1.5 times the lr of the step just taken.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.cdat import plan
from benchmarks.cdat.plan import CAP, PROBLEMS, Run
from flatdirs.curvature.cdat import CDAT
from flatdirs.curvature.line_search import ArmijoLineSearch
from flatdirs.curvature.log import CurvatureLog
from flatdirs.curvature.sharpness import NotFoundError, sharpness
from flatdirs.training.data import load
from flatdirs.training.model import build_model
from flatdirs.training.schedule import triangle
from flatdirs.training.task import CLASSES, DataConfig, ImageTask

SAMPLES, WHOLE, FEW = 100, 200, 12  # points of a loss curve: sampled, and the most that a row keeps
PLAIN = {"gd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}


class Ground(NamedTuple):
    """A network, the images it is trained on and the loss of its output."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]

    def on(self, chosen: Tensor | slice = slice(None)) -> Tensor:
        """The mean loss of all images, or of those."""
        return self.loss(self.model(self.images[chosen]), self.labels[chosen])


def squared(output: Tensor, labels: Tensor) -> Tensor:
    """½|output − one-hot|², its mean over the images."""
    return 0.5 * (output - functional.one_hot(labels, CLASSES)).square().sum(dim=1).mean()


def ground(run: Run, data: DataConfig, device: torch.device) -> Ground:
    """Everything the run starts from. Raises DataError where the images are not there."""
    problem = PROBLEMS[run.problem]
    width, depth, count = run.width or problem.width, run.depth or problem.depth, run.images or problem.images
    task = ImageTask(run.problem, problem.dataset, 1, 1, 1, problem.size, plan.MOST_IMAGES, 100, 100)
    split = load(task, data, device)
    images, labels = split.train.inputs[:count], split.train.labels[:count]
    if problem.network == "resnet":
        model = build_model(split.channels, split.classes, width, run.seed, device)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            sizes = pairwise([images[0].numel(), *[width] * depth])
            hidden = [layer for ins, outs in sizes for layer in (nn.Linear(ins, outs), nn.Tanh())]
            model = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, CLASSES)).to(device)
    loss = squared if problem.loss == "squared" else functional.cross_entropy
    return Ground(model.train(), images, labels, loss)


def build(run: Run, model: nn.Module) -> Any:
    """The run's optimizer."""
    common = {"weight_decay": run.decay}
    if run.method in plan.TUNED:
        return PLAIN[run.base](model.parameters(), lr=run.value, **common)
    common["max_learning_rate"] = CAP[run.base]
    if run.method == "linesearch":
        return ArmijoLineSearch(model.parameters(), run.base, **common)
    return CDAT(model.parameters(), run.base, sigma=run.value, ema=run.ema, **common)


def batches(run: Run, count: int, device: torch.device) -> Iterator[Tensor | slice]:
    """The images of every step; without replacement within an epoch."""
    generator = torch.Generator().manual_seed(1000 + run.seed)
    while not 0 < run.batch < count:
        yield slice(None)
    while True:
        order = torch.randperm(count, generator=generator).to(device)
        yield from (order[begin : begin + run.batch] for begin in range(0, count - run.batch + 1, run.batch))


def train(run: Run, data: DataConfig, device: torch.device) -> dict[str, Any]:
    """Train; the measured part of a row."""
    found, begin, every = ground(run, data, device), time.perf_counter(), PROBLEMS[run.problem].every
    optimizer, log, whole = build(run, found.model), None, (found.images, found.labels)
    if run.role == "compare" and run.part == "full_batch":
        log = CurvatureLog(found.model, optimizer, found.loss, whole, every=every)
    with torch.no_grad():
        initial = float(found.on())
    losses, rates, gained, chosen = [], [], [], batches(run, len(found.labels), device)
    for step in range(1, run.steps + 1):
        if run.method == "schedule":
            for group in optimizer.param_groups:
                group["lr"] = run.value * triangle(step - 1, run.steps, plan.WARMUP)
        losses.append(one_step(optimizer, found, next(chosen)))
        rates.append(optimizer.param_groups[0]["lr"])
        if step % every == 0:
            if not float(losses[-1]) <= plan.HOPELESS * initial:
                break
            if log is not None:
                gained.append(gains(run, optimizer, found))
    with torch.no_grad():
        end = float(found.on() if run.batch else torch.stack(losses[-plan.LAST :]).double().mean())
    finished, sharp = len(losses) == run.steps and end <= plan.HOPELESS * initial, ""
    if log is not None:
        log.close()
    elif finished and run.part != "full_batch":
        with contextlib.suppress(NotFoundError):
            sharp = f"{sharpness(found.model, found.loss, whole).value:.5g}"
    lr = torch.as_tensor(rates, dtype=torch.double)
    looks = [
        f"{r.step}:{r.lr:.4g}:{r.loss:.4g}:{r.sharpness:.4g}:{r.ratio:.4g}:{abs(r.alignment):.3g}:"
        f"{':'.join(f'{gain:.4g}' for gain in tried)}:{lr[max(0, r.step - plan.AROUND) : r.step].mean():.4g}"
        for r, tried in zip(log.records if log else (), gained, strict=False)
    ]
    measured = {"steps": run.steps, "state": "finished" if finished else "diverged", "initial_loss": f"{initial:.6g}"}
    measured |= {"end_loss": f"{end:.6g}", "end_sharpness": sharp, "curve": curve(run, losses, lr)}
    return {**measured, "looks": ";".join(looks), "seconds": f"{time.perf_counter() - begin:.2f}"}


def one_step(optimizer: Any, found: Ground, chosen: Tensor | slice) -> Tensor:
    """One step of whichever optimizer; the loss before it."""

    def closure() -> Tensor:
        loss = found.on(chosen)
        if not hasattr(optimizer, "learning_rate"):
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        return loss

    return optimizer.step(closure).detach()


def gains(run: Run, optimizer: Any, found: Ground) -> list[float]:
    """How much a step of σ = 1, σ = 2, the constant lr (nan on other runs) and a line search lower the loss; nothing changes."""
    parameters, results = list(found.model.parameters()), []
    before = [parameter.detach().clone() for parameter in parameters]
    greedy = CDAT(parameters, run.base, sigma=1.0, max_learning_rate=None, weight_decay=run.decay)
    cap = min(CAP[run.base], 1.5 * float(optimizer.param_groups[0]["lr"])) or CAP[run.base]  # 0: begin anew
    search = ArmijoLineSearch(parameters, run.base, max_learning_rate=cap, weight_decay=run.decay)
    for twin in (greedy, search):
        for parameter in parameters:
            twin.state[parameter] = {key: value.clone() for key, value in optimizer.state.get(parameter, {}).items()}
        here = twin.step(found.on)
        after = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            own = run.value / float(twin.learning_rate or math.nan) if run.method == "constant" else math.nan
            for multiple in (1.0, 2.0, own) if twin is greedy else (1.0,):
                for parameter, old, new in zip(parameters, before, after, strict=True):
                    parameter.copy_(old + multiple * (new - old))
                results.append(float(here - found.on()))
            for parameter, old in zip(parameters, before, strict=True):
                parameter.copy_(old)
    return results


def curve(run: Run, losses: list[Tensor], lr: Tensor) -> str:
    """`step:loss:lr;…`, no more points than the page needs: lr where it is found step by step, and the first seed's loss."""
    if run.role == "tune":
        return ""
    kept = [i for i in range(len(losses)) if i % max(1, run.steps // SAMPLES) == 0 or i + 1 == run.steps]
    most = WHOLE if run.part == "full_batch" and (run.seed == 0 or run.method in plan.FOUND) else FEW
    if len(kept) > most:
        kept = [kept[round(i * (len(kept) - 1) / (most - 1))] for i in range(most)]
    return ";".join(f"{i + 1}:{losses[i]:.4g}:{lr[i]:.4g}" for i in kept)
