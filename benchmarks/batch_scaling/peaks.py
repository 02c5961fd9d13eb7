"""The peak rates that warmup.py trains at, as plain numbers, and the table it fills. No torch, so that pages can read them."""

from __future__ import annotations

from benchmarks.batch_scaling.raw import Table

MOMENTUM, WEIGHT_DECAY = 0.9, 0.0005
RATES = {  # peak rates in factors of two
    "digits": tuple(2.0**power for power in range(-10, 8)),  # 1/1024 … 128
    "cifar10_small": tuple(2.0**power for power in range(-3, 7)),  # 1/8 … 64
}
BATCH_SIZES = {"digits": (16, 64), "cifar10_small": (32,)}
SEEDS = {"digits": 5, "cifar10_small": 2}

RUNS = Table(
    "warmup",
    ("task", "batch_size", "warmup", "learning_rate", "seed"),
    ("diverged", "at_chance", "accuracy", "loss", "epochs", "precision", "seconds"),
)
