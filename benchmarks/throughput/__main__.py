"""How fast the trainer is: beside plain PyTorch, and beside the convolutions alone, in one run.

    python -m benchmarks.throughput [--data cifar10.npz] [--device cuda]   measure, then write the page
    python -m benchmarks.throughput --task text                            the same on a text
    python -m benchmarks.throughput --resume                               go on after an interruption
    python -m benchmarks.throughput --quick --output FOLDER                at a reduced size

contestants.py holds what is measured. Contestants take turns, a piece each a round, so that other load on the machine hits all alike.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import pages
from benchmarks.gpu import smoke_images
from benchmarks.gpu.seeds import data_name
from benchmarks.throughput.contestants import contestants, peak_megabytes, profile, timed
from flatdirs.errors import ConfigError, FlatdirsError
from flatdirs.objectives.provenance import provenance
from flatdirs.resources import conf_folder
from flatdirs.training.data import load
from flatdirs.training.device import device_name, resolve_device, resolve_precision
from flatdirs.training.loop import TrainConfig
from flatdirs.training.optimizer import AdamW
from flatdirs.training.schedule import Cosine
from flatdirs.training.task import DataConfig, ImageTask, TextTask


def cases(path: str, device: str, quick: bool) -> dict[TrainConfig, int]:
    """What is measured, and in how many rounds; where a step takes milliseconds, many make a piece."""
    recipe = yaml.safe_load((conf_folder() / "task" / "cifar10_small.yaml").read_text(encoding="utf-8"))
    small = ImageTask(**{**recipe, "epochs": 1, "test_images": 1})
    large = replace(small, image_size=32, batch_size=512, pad=4, cutout=8, threads=None, validation_images=1)
    cpu = device.startswith("cpu")
    wide = replace(large, name="width 64", width=64, train_images=(2 if cpu else 80) * 512)
    narrow = replace(large, name="width 16", width=16, train_images=(10 if cpu else 80) * 512)
    tasks = {wide: 5, narrow: 7, small: 7}
    if quick:
        less = {"width": 8, "batch_size": 16, "train_images": 64}
        tasks = {replace(task, **less, validation_images=min(task.validation_images, 32)): 2 for task in tasks}
    data, rates = DataConfig(path), (0.1, 0.9, 5e-4)
    return {TrainConfig(task, data, *rates, device=device): count for task, count in tasks.items()}


def text_cases(device: str, quick: bool) -> dict[TrainConfig, int]:
    """One epoch of task=text, and the evaluation at its end."""
    recipe = yaml.safe_load((conf_folder() / "task" / "text.yaml").read_text(encoding="utf-8"))
    task = replace(TextTask(**recipe), epochs=1)
    if quick:
        task = replace(task, width=8, heads=2, batch_size=4, train_characters=2048, validation_characters=1024)
    rest: dict[str, Any] = {"beta1": 0.9, "optimizer": AdamW(beta2=0.99, no_decay=True), "schedule": Cosine()}
    return {
        TrainConfig(task, DataConfig(), 1e-3, None, 0.1, device=device, clip_gradient=1.0, **rest): 2 if quick else 5
    }


@contextmanager
def processes(config: TrainConfig, names: tuple[str, ...]) -> Iterator[list[Callable[..., Future[Any]]]]:
    """The `submit` of a process for each contestant, warmed up one after the other so that they do not disturb each other."""
    with ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        found = [stack.enter_context(ProcessPoolExecutor(1, context)).submit for _ in names]
        for name, submit in zip(names, found, strict=True):
            submit(timed, name, config).result()
        yield found


def turns(label: str, names: Collection[str], rounds: int, run: Callable[[str], float]) -> dict[str, list[float]]:
    """Seconds by name; every round begins with another one."""
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in np.roll(list(times), -number):
            times[name].append(round(run(name), 6))
        print(label, {name: f"{values[-1]:.3f} s" for name, values in times.items()}, flush=True)
    return times


def measure(config: TrainConfig, rounds: int, quick: bool) -> dict[str, Any]:
    """All raw times of one case, then the profile of one piece."""
    names, task, steps = contestants(config, quick), config.task, config.steps_per_epoch
    text = isinstance(task, TextTask)
    judged = task.validation_characters if text else task.validation_images
    about = {"name": task.name, "width": task.width, "size": task.context if text else task.image_size}
    about |= {"batch": task.batch_size, "load": round(os.getloadavg()[0], 2), "steps": steps}
    about |= {"images": steps * task.batch_size} | (
        {"characters": steps * task.batch_size * task.context} if text else {}
    )
    with processes(config, names) as found:
        submit = dict(zip(names, found, strict=True))
        times = turns(task.name, names, rounds, lambda name: submit[name](timed, name, config).result())
        peak = {name: submit[name](peak_megabytes, config).result() for name in names}
        kinds = submit["flatdirs"](profile, config).result()
    return {**about, "judged": judged, "seconds": times, "profile": kinds, "peak_megabytes": peak}


def measure_pairs(config: TrainConfig, rounds: int) -> dict[str, Any]:
    """Two runs: in two processes with a thread each, in one with two threads, in one with one."""
    names = ("one thread", "one thread", "two threads")
    ways = {"two processes, one thread each": (0, 1), "one process, two threads": (2, 2)}
    ways["one process, one thread"] = (0, 0)

    def run(way: str) -> float:
        begin = time.perf_counter()
        for piece in [found[one](timed, names[one], config) for one in ways[way]]:
            piece.result()
        return time.perf_counter() - begin

    with processes(config, names) as found:
        return {"epochs": config.task.epochs, "seconds": turns("two runs", ways, rounds, run)}


def conditions(config: TrainConfig, named: bool) -> dict[str, Any]:
    """What a reader needs to judge the numbers; all but the date must agree where a result is gone on with."""
    found, cpu = resolve_device(config.device), resolve_device("cpu")
    versions = {
        "date": datetime.date.today().isoformat(),
        **{name: provenance()[name] for name in ("python", "torch", "torchvision", "flatdirs")},
        **{"system": platform.platform(), "device": str(found), "processor": device_name(found)},
        **{"cores": os.cpu_count(), "precision": resolve_precision("auto", found)},
    }
    checksum = load(config.task, config.data, cpu).checksum
    if isinstance(config.task, TextTask):
        return {"versions": versions, "images": f"Text: {checksum}"}
    return {"versions": versions, "images": f"Images: {data_name(checksum, False) if named else 'made up'}"}


def resumed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The result to go on with. Raises ConfigError where it is one of another machine or of other images."""
    one, other = ({**told["versions"], "images": told["images"], "date": None} for told in (before, now))
    if changed := sorted(key for key in other if one.get(key) != other[key]):
        raise ConfigError(f"the result to go on with has another {' and '.join(changed)}; leave --resume out")
    return {**before, "versions": now["versions"]}


def main() -> None:
    """Measure, on file as the result grows, and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput")
    parser.add_argument("--data", help="CIFAR-10 as .npz with x_train, y_train, x_test, y_test; else made-up images")
    parser.add_argument("--task", choices=("images", "text"), default="images", help="what is trained on")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1; the first GPU or else the CPU without it")
    parser.add_argument("--quick", action="store_true", help="a reduced size, to see that everything runs")
    parser.add_argument("--resume", action="store_true", help="keep the networks that result.json has")
    parser.add_argument("--output", type=Path, default=pages.HERE / "throughput", help="folder of the results")
    given = parser.parse_args()
    if given.quick and given.output == parser.get_default("output"):
        parser.error("--quick measures nothing worth keeping; give it an --output")
    given.output.mkdir(parents=True, exist_ok=True)
    text = given.task == "text"
    path = given.output / ("text.json" if text else "result.json")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(given.data or f"{folder}/made_up.npz").absolute()
        if not (given.data or text):
            smoke_images.write(images, repeated=84)
        device = str(resolve_device(given.device))
        plan = text_cases(device, given.quick) if text else cases(str(images), device, given.quick)
        result = {**conditions(next(iter(plan)), bool(given.data)), "cases": []}
        if given.resume and path.exists():
            result = resumed(json.loads(path.read_text(encoding="utf-8")), result)
        for config, rounds in plan.items():
            if config.task.name not in {done["name"] for done in result["cases"]}:
                result["cases"].append(measure(config, rounds, given.quick))
                path.write_text(json.dumps(result) + "\n", encoding="utf-8")
        if "pairs" not in result and not text:
            result["pairs"] = measure_pairs(config, rounds)
            path.write_text(json.dumps(result) + "\n", encoding="utf-8")
    pages.write("throughput", given.output)


if __name__ == "__main__":
    try:
        main()
    except FlatdirsError as error:
        sys.exit(f"flatdirs: {error}")
