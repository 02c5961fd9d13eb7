"""The trainer and the searches on full-size CIFAR-10: benchmarks/gpu/run.sh runs all of it on a GPU."""

import time
from pathlib import Path

BEGAN = time.monotonic()  # --minutes counts from here, before torch is imported
HERE = Path(__file__).resolve().parent
GROUP = (  # columns of a row that must agree where rows are averaged
    *("data", "checksum", "task", "epochs", "width", "batch_size", "image_size", "train_images"),
    *("lr", "momentum", "wd", "overrides", "device", "precision", "torch"),
)
RUNS_GROUP = (*(key for key in GROUP if key not in ("lr", "momentum", "wd")), "target", "bar")
