"""What distance.py walks, as plain numbers, and the tables it fills. No torch, so that pages can read them."""

from __future__ import annotations

from benchmarks.batch_scaling.raw import Table

BATCH_SIZES = (4, 16, 64)
LARGE_RATES = tuple(4.0**power for power in range(-5, 1))  # Bη: 1/1024, 1/256 … 1
EPOCHS = {"digits": (0, 1, 4, 20), "cifar10_small": (0, 1, 6)}  # lengths of the runs that w comes from; 0 = initial
SEEDS = {"digits": 5, "cifar10_small": 3}
DRAWS = 8  # sets of examples per w, B and rate
IMAGES = 300
SETTINGS = (0.1, 0.9, 0.0005)  # λ, ρ, α of the runs that w comes from: what many scripts begin with

STATES = Table("states", ("task", "seed", "epochs"), ("loss", "accuracy", "gradient_norm", "sigma", "sharpness"))
DISTANCES = Table(
    "distances",
    ("task", "seed", "epochs", "batch_size", "large_rate", "draw"),
    ("same_examples", "other_examples", "large_step", "small_steps"),
)
