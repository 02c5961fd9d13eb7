"""The four scripts, their starts, and the box of TPE: that of conf/tune.yaml. Chosen before anything was run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BUDGETS, REPETITIONS, METHODS = (15, 25), 5, ("flatdirs", "tpe")
BOX = {"lr": (1e-4, 10.0), "one_minus_momentum": (0.01, 1.0), "wd": (1e-6, 0.1)}


@dataclass(frozen=True)
class Case:
    """`command` with its start; `metric`: what it prints."""

    command: tuple[str, ...]
    metric: str


def _python(script: Path, *words: str) -> tuple[str, ...]:
    return (sys.executable, str(script), *words, "--seed", "0")


CASES = {
    "torch": Case(
        _python(EXAMPLES / "imagenet" / "main.py", *["--lr", "0.1", "--momentum", "0.9", "--wd", "1e-4"]), "Acc@1"
    ),
    "numpy": Case(
        _python(
            Path(__file__).with_name("numpy_mlp.py"), *["--lr", "0.01", "--momentum", "0.9", "--weight-decay", "5e-4"]
        ),
        "val_acc",
    ),
    "shell": Case(
        ("sh", str(EXAMPLES / "shell" / "train.sh"), *["--lr", "0.001", "--wd", "0.001", "--seed", "0"]), "val_loss"
    ),
    "scikit-learn": Case(
        _python(
            EXAMPLES / "scikit_learn" / "mlp.py",
            *["--learning-rate-init", "{lr:0.001}", "--momentum", "0.9", "--alpha", "{wd:1e-4}"],
        ),
        "val_acc",
    ),
}
