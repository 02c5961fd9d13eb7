"""Measure a step of CDAT beside a plain one of the same base: python -m benchmarks.cdat.step_cost [rounds=20] [device=cuda].

Networks, batch sizes and optimizers are those of the tasks digits and cifar10_small, images are noise. Steps take turns, and the
ratio is taken round by round, so that other work on the machine hits all alike.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import yaml
from torch.nn.functional import cross_entropy

from benchmarks import pages
from benchmarks.arguments import settings_of
from benchmarks.cdat.page import HERE
from flatdirs.curvature.cdat import CDAT
from flatdirs.resources import conf_folder
from flatdirs.training.device import DTYPES, device_name, keep_freed_memory, resolve_device, synchronize
from flatdirs.training.model import build_model

STEPS = 4  # of each contestant in a round
KINDS = ("nesterov fp32", "nesterov bf16", "adamw fp32")
PLAIN = {"nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}), "adamw": (torch.optim.AdamW, {})}
OTHERS = {"CDAT": {}, "quick=False": {"quick": False}, "every=4": {"every": 4}}


def contestant(name: str, task: dict[str, Any], base: str, precision: str, device: torch.device) -> Callable[[], Any]:
    """One step, plain or of CDAT with some setting."""
    channels, size, batch = 1 if task["dataset"] == "digits" else 3, task["image_size"], task["batch_size"]
    images = torch.randn(batch, channels, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels, wd = torch.randint(0, 10, (batch,), device=device), 5e-4 if base == "nesterov" else 0.01
    model = build_model(channels, 10, task["width"], 0, device).train()

    def loss() -> torch.Tensor:
        with torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
            logits = model(images)
        return cross_entropy(logits.float(), labels)

    if name != "plain":
        settings = {"sigma": 0.5, "ema": 0.9, "max_learning_rate": 0.01, "weight_decay": wd, **OTHERS[name]}
        tuner = CDAT(model.parameters(), base, **settings)
        return lambda: tuner.step(loss)
    kind, settings = PLAIN[base]
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=wd, fused=True, **settings)

    def plain() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return plain


def measure(name: str, kind: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """Milliseconds of a plain step, and quartiles of the others' ratios to it, after a round that does not count."""
    base, precision = kind.split()
    task = yaml.safe_load((conf_folder() / "task" / f"{name}.yaml").read_text(encoding="utf-8"))
    steps = [contestant(who, task, base, precision, device) for who in ("plain", *OTHERS)]
    seconds = np.empty((rounds + 1, len(steps)))
    for turn, place in np.ndindex(*seconds.shape):
        begin = time.perf_counter()
        for _ in range(STEPS):
            steps[place]()
        synchronize(device)
        seconds[turn, place] = (time.perf_counter() - begin) / STEPS
    ratios = np.quantile(seconds[1:, 1:] / seconds[1:, :1], (0.25, 0.5, 0.75), axis=0, method="weibull").T.tolist()
    case = {"task": name, "batch": task["batch_size"], "base": base, "precision": precision}
    case["plain_ms"] = 1e3 * float(np.median(seconds[1:, 0]))
    return {**case, "ratios": dict(zip(OTHERS, ratios, strict=True))}


if __name__ == "__main__":
    given = settings_of(sys.argv[1:], {"rounds": 20, "device": "cpu"})
    torch.set_num_threads(1)
    keep_freed_memory()
    rounds, device = given["rounds"], resolve_device(given["device"])
    found = {"rounds": rounds, "steps": STEPS, "torch": torch.__version__, "python": platform.python_version()}
    asked = [(name, kind, rounds, device) for name in ("digits", "cifar10_small") for kind in KINDS]
    found |= {"device": device_name(device), "cases": [measure(*case) for case in asked]}
    (HERE / "step_cost.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    pages.write("cdat")
