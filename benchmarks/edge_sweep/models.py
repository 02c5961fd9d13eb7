"""The two models, some six seconds a run on one core: a transformer on text, flatdirs' own network on digits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import yaml
from torch.nn.functional import cross_entropy

from benchmarks.edge_sweep import runs
from benchmarks.edge_sweep.runs import EVERY, SCHEDULE, STEPS, STEPS_PER_EPOCH, Curve, Point, short
from benchmarks.step_sampling.text import NextCharacter, load_text
from flatdirs.objectives.provenance import provenance
from flatdirs.resources import conf_folder
from flatdirs.training.data import load
from flatdirs.training.device import device_name, resolve_device, resolve_precision
from flatdirs.training.loop import Epoch, train
from flatdirs.training.optimizer import AdamW
from flatdirs.training.run_config import TrainConfig
from flatdirs.training.task import DataConfig, ImageTask

# number of the evaluation, its loss (rounded as it is kept), the learning rate before it → True stops the run
Watch = Callable[[int, float, float], bool]
Train = Callable[[Point, int, Watch], Curve]
BETA2 = 0.999
WINDOWS, JUDGED = 16, 64  # of characters a step, and in the evaluation
DIVERGED_LOSS = 2.0  # times that of guessing, after the warm-up
text = cache(load_text)


def transformer(point: Point, seed: int, watch: Watch, device: torch.device) -> Curve:
    """Train the next-character model until its end, its divergence, or until `watch` stops it."""
    begin, losses, diverged = time.perf_counter(), list[float](), False
    guessing, judged = math.log(text().distinct), text().held_out(JUDGED, device)[0]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(2 * seed)
        model = NextCharacter(text().distinct, width=32, layers=1, heads=2).to(device)
        betas = (1.0 - point.one_minus_beta1, BETA2)
        optimizer = torch.optim.AdamW(model.parameters(), betas=betas, weight_decay=point.wd, fused=True)
        for step, batch in enumerate(text().windows(seed, STEPS, WINDOWS, device), 1):
            rate = optimizer.param_groups[0]["lr"] = point.lr * runs.MULTIPLIERS[step - 1]
            loss = _loss(model.train(), *batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step % EVERY:
                continue
            with torch.inference_mode():
                held_out = float(_loss(model.eval(), *judged))
            losses.append(float(short(held_out)))
            blown = step > runs.WARMUP_STEPS and held_out > DIVERGED_LOSS * guessing
            diverged = blown or not math.isfinite(held_out)
            if watch(len(losses), losses[-1], rate) or diverged:
                break
    return Curve(point, seed, tuple(losses), diverged, time.perf_counter() - begin)


def _loss(model: torch.nn.Module, windows: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    return cross_entropy(model(windows).flatten(0, 1), following.flatten())


def resnet(point: Point, seed: int, watch: Watch, device: torch.device) -> Curve:
    """Train flatdirs' own network with its own trainer."""
    losses: list[float] = []

    def judged(epoch: Epoch) -> bool:
        losses.append(float(short(epoch.loss)))
        return watch(epoch.number, losses[-1], epoch.lr)

    tuned = {"lr": point.lr, "wd": point.wd, "momentum": None, "beta1": 1.0 - point.one_minus_beta1}
    fixed = {"threads": 1, "schedule": SCHEDULE, "optimizer": AdamW(beta2=BETA2), "evaluate_every": EVERY}
    run = {"seed": seed, "device": str(device)}
    config = TrainConfig(task=digits(), data=DataConfig(), **tuned, **run, **fixed)
    result = train(config, judged)
    return Curve(point, seed, tuple(losses), result.diverged, result.seconds)


def digits() -> ImageTask:
    """conf/task/digits.yaml with smaller batches, a longer run and fewer validation images."""
    task = ImageTask(**yaml.safe_load((conf_folder() / "task" / "digits.yaml").read_text(encoding="utf-8")))
    batch, epochs = task.train_images // STEPS_PER_EPOCH, STEPS // STEPS_PER_EPOCH
    return replace(task, batch_size=batch, epochs=epochs, validation_images=200)


def trainers(names: tuple[str, ...], device: str) -> Mapping[str, Train]:
    """How each subject is trained on `device` (auto, cpu, cuda)."""
    kinds, place = {"transformer": transformer, "resnet": resnet}, resolve_device(device)
    return {name: lambda *run, kind=kinds[name]: kind(*run, place) for name in names}


def about(name: str, device: str) -> dict[str, Any]:
    """Everything that all runs of a subject share, for provenance.json."""
    place = resolve_device(device)
    made = {key: value for key, value in provenance().items() if key not in ("host", "git")}
    made |= {"device": f"{place} ({device_name(place)})", "threads": 1}
    if name == "transformer":
        return {"subject": name, **made, "data": text().data, "precision": "fp32"}
    data = f"digits {load(digits(), DataConfig(), place).checksum}"
    return {"subject": name, **made, "data": data, "precision": resolve_precision("auto", place)}
