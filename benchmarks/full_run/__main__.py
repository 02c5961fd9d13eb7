"""Begin a full run of task=cifar10 with the hand-tuned setting, and stop when enough epochs have been timed.

    python -m benchmarks.full_run --data cifar10.npz [--epochs 2] [--device cpu]

The schedule is that of the whole run, so the epochs timed are its own first ones. Judged on the test images, as the
source does (reference/004). Writes result.json epoch by epoch, then README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from typing import Any

from benchmarks import pages
from benchmarks.full_run.page import COMMAND, HERE
from benchmarks.gpu.seeds import data_name, hand_tuned
from flatdirs.errors import FlatdirsError
from flatdirs.objectives.provenance import provenance
from flatdirs.training.records import Epoch


class EnoughError(Exception):
    """The epochs asked for are over."""


def measure(data: str | None, device: str, epochs: int) -> dict[str, Any]:
    """Train so many epochs; what each took and reached."""
    from flatdirs.training.data import load
    from flatdirs.training.device import device_name, resolve_device, resolve_precision
    from flatdirs.training.loop import train

    config, found = hand_tuned(data, device), resolve_device(device)
    rows: list[dict[str, float]] = []
    result = {
        "data": data_name(load(config.task, config.data, found).checksum, jpeg=False),
        "device": f"{found} ({device_name(found)})",
        "precision": resolve_precision("auto", found),
        "of": config.task.epochs,
        "steps": config.steps_per_epoch,
        "versions": {key: value for key, value in provenance().items() if key not in ("host", "scikit-learn")},
        "epochs": rows,
    }

    def keep(epoch: Epoch) -> None:
        rows.append({key: getattr(epoch, key) for key in ("number", "train_loss", "loss", "accuracy", "seconds")})
        (HERE / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(rows[-1], flush=True)
        if len(rows) == epochs:
            raise EnoughError

    with suppress(EnoughError):
        train(config, on_epoch=keep)
    return result


def main() -> int:
    """Measure and draw."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument(
        "--data", help="CIFAR-10 as a .npz file or torchvision's folder; fetched into ./data without it"
    )
    parser.add_argument("--epochs", type=int, default=2, help="so many of the run's epochs are trained")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1; the first GPU or else the CPU without it")
    parser.add_argument("--draw", action="store_true", help="draw README.md again from result.json")
    arguments = parser.parse_args()
    try:
        if not arguments.draw:
            measure(arguments.data, arguments.device, arguments.epochs)
    except FlatdirsError as error:
        print(f"{COMMAND}: {error}", file=sys.stderr)
        return 2
    pages.write("full_run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
