"""What a step of CDAT costs beside a plain one of the same base, in one run: `python -m benchmarks.cdat.step_cost`.

Networks, batch sizes and optimizers are those of the tasks digits and cifar10_small; images are noise of the same size,
which costs the same. Plain: forward, backward and torch's fused optimizer. Steps take turns, a round is a few of each,
and the ratio is taken round by round, so that whatever else the machine does hits both alike. Writes step_cost.json beside this file and draws the page.

    --rounds 20   how often everybody has a turn      --device cuda   where      --print   write nothing
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import yaml
from torch.nn.functional import cross_entropy

from benchmarks import pages
from benchmarks.cdat.running import HERE
from flatdirs.curvature.cdat import CDAT
from flatdirs.resources import conf_folder
from flatdirs.training.device import DTYPES, device_name, keep_freed_memory, resolve_device, synchronize
from flatdirs.training.model import build_model

STEPS = 4  # of each contestant in a round
CHANNELS = {"digits": 1, "cifar10": 3}
DECAY = {"nesterov": 5e-4, "adamw": 0.01}  # coupled and decoupled, as the trainer's
PLAIN = {"nesterov": torch.optim.SGD, "adamw": torch.optim.AdamW}


def contestants(task: dict[str, Any], base: str, precision: str, device: torch.device) -> dict[str, Callable[[], Any]]:
    """One step each, by name: plain, CDAT, CDAT with torch's own second derivatives, CDAT every fourth step."""
    channels, size, batch = CHANNELS[task["dataset"]], task["image_size"], task["batch_size"]
    images = torch.randn(batch, channels, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), device=device)

    decay = {"weight_decay": DECAY[base]}

    def closure_of(model: torch.nn.Module) -> Callable[[], torch.Tensor]:
        def closure() -> torch.Tensor:
            with torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32"):
                logits = model(images)
            return cross_entropy(logits.float(), labels)

        return closure

    def tuned(**settings: Any) -> Callable[[], Any]:
        model = build_model(channels, 10, task["width"], 0, device).train()
        optimizer = CDAT(model.parameters(), base, sigma=0.5, ema=0.9, max_learning_rate=0.01, **decay, **settings)
        closure = closure_of(model)
        return lambda: optimizer.step(closure)

    model = build_model(channels, 10, task["width"], 0, device).train()
    extra = {"momentum": 0.9, "nesterov": True} if base == "nesterov" else {}
    optimizer = PLAIN[base](model.parameters(), lr=0.01, fused=True, **decay, **extra)
    closure = closure_of(model)

    def plain() -> None:
        loss = closure()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return {"plain": plain, "CDAT": tuned(), "quick=False": tuned(quick=False), "every=4": tuned(every=4)}


def measure(steps: dict[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds a step, by contestant, one number a round, after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            begin = time.perf_counter()
            for _ in range(STEPS):
                step()
            synchronize(device)
            seconds[name].append((time.perf_counter() - begin) / STEPS)
    return {name: values[1:] for name, values in seconds.items()}


def main() -> None:
    """Measure, print, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--print", action="store_true", dest="only_print")
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {device_name(device)}, one CPU thread")
    cases = []
    print(f"time of a step over a plain one's: median (quartiles) of {arguments.rounds} rounds of {STEPS} steps each")
    for name in ("digits", "cifar10_small"):
        task = yaml.safe_load((conf_folder() / "task" / f"{name}.yaml").read_text(encoding="utf-8"))
        for base, precision in (("nesterov", "fp32"), ("nesterov", "bf16"), ("adamw", "fp32")):
            seconds = measure(contestants(task, base, precision, device), arguments.rounds, device)
            plain = seconds.pop("plain")
            ratios = {
                contestant: statistics.quantiles(
                    [value / other for value, other in zip(values, plain, strict=True)], n=4
                )
                for contestant, values in seconds.items()
            }
            case = {"task": name, "batch": task["batch_size"], "base": base, "precision": precision}
            cases.append({**case, "plain_ms": 1e3 * statistics.median(plain), "ratios": ratios})
            told = [f"{name} {middle:.2f} ({low:.2f} – {high:.2f})" for name, (low, middle, high) in ratios.items()]
            print(f"{case}: {', '.join(told)}; plain {1e3 * statistics.median(plain):.1f} ms", flush=True)
    if not arguments.only_print:
        found = {
            "command": f"python -m benchmarks.cdat.step_cost --rounds {arguments.rounds}",
            **{"rounds": arguments.rounds, "steps": STEPS, "torch": torch.__version__},
            **{"python": platform.python_version(), "device": device_name(device), "cases": cases},
        }
        (HERE / "step_cost.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        pages.write("cdat")


if __name__ == "__main__":
    main()
