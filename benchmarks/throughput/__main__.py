"""How fast the trainer is: beside plain PyTorch, and beside the convolutions alone, in one run.

    python -m benchmarks.throughput [--data cifar10.npz]   measure; write result.json and result.md
    python -m benchmarks.throughput --resume               go on after an interruption
    python -m benchmarks.throughput --quick                the same at a reduced size; not written without --output
    python -m benchmarks.throughput --profile              where a step's time goes, printed and not written
    python -m benchmarks.throughput --draw                 draw result.md again from result.json

contestants.py holds what is measured. Everybody lives in a process of its own and waits for its turn, so that noise of
the machine hits all alike. At width 64 a plain step takes ten seconds on two cores, hence pieces of two steps.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks import pages
from benchmarks.gpu.seeds import data_name
from benchmarks.throughput.contestants import Case, levers, make_images, serve
from benchmarks.throughput.page import COMMAND, HERE, draw, profiles, read
from flatdirs.errors import FlatdirsError
from flatdirs.training.task import DataConfig, ImageTask

TRIO = ("plain", "flatdirs", "floor")


def cases(path: str, device: str, quick: bool) -> dict[Case, int]:
    """What is measured, and in how many rounds."""
    import yaml

    file = HERE.parents[1] / "conf" / "task" / "cifar10_small.yaml"
    small = ImageTask(**{**yaml.safe_load(file.read_text(encoding="utf-8")), "epochs": 1, "test_images": 1})
    large = replace(small, image_size=32, batch_size=512, pad=4, cutout=8, threads=None, validation_images=1)
    gpu = not device.startswith("cpu")  # where a step takes milliseconds, many make a piece
    wide = replace(large, name="width 64", width=64, train_images=(80 if gpu else 2) * 512)
    narrow = replace(large, name="width 16", width=16, train_images=(80 if gpu else 10) * 512)
    tasks, rounds = (wide, narrow, small), (5, 7, 7)
    if quick:
        less = {"width": 8, "batch_size": 16, "train_images": 64}
        tasks = tuple(replace(t, **less, validation_images=min(t.validation_images, 32)) for t in tasks)
        rounds = (2, 2, 2)
    return {Case(task.name, task, path, device): number for task, number in zip(tasks, rounds, strict=True)}


@contextmanager
def processes(case: Case, names: tuple[str, ...]) -> Iterator[list[Connection]]:
    """The contestants, warmed up and waiting, one at a time so that they do not disturb each other."""
    context = multiprocessing.get_context("spawn")
    pipes, started = [], []
    try:
        for name in names:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(name, case, theirs))
            process.start()
            theirs.close()
            pipes.append(ours)
            started.append(process)
            heard(ours, name)
        yield pipes
        for pipe in pipes:
            pipe.send("stop")
    finally:
        for process in started:
            process.join(timeout=5)
            process.terminate()


def heard(pipe: Connection, name: str) -> Any:
    """What a contestant says next; the end, with a sentence, where it has died."""
    try:
        return pipe.recv()
    except EOFError:
        sys.exit(f"{COMMAND}: the process of {name!r} died; what it said stands above")


def ask(pipe: Connection, order: str) -> Any:
    """Send an order and wait for what it gives."""
    pipe.send(order)
    return heard(pipe, order)


def measure(case: Case, rounds: int, quick: bool) -> dict[str, Any]:
    """All raw times of one case, then the profile of one piece."""
    names = TRIO + levers(case.device, quick)
    times: dict[str, list[float]] = {name: [] for name in names}
    load = round(os.getloadavg()[0], 2)
    with processes(case, names) as pipes:
        waiting = dict(zip(names, pipes, strict=True))
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(round(ask(waiting[name], "go"), 6))
            print(case.name, {name: f"{values[-1]:.3f} s" for name, values in times.items()}, flush=True)
        peak = {name: round(ask(pipe, "peak"), 1) for name, pipe in waiting.items()}
        profile = {kind: round(value, 4) for kind, value in ask(waiting["flatdirs"], "profile").items()}
    task = case.task
    about = {"name": case.name, "width": task.width, "size": task.image_size, "batch": task.batch_size}
    about |= {
        "load": load,
        "steps": case.steps,
        "images": case.steps * task.batch_size,
        "judged": task.validation_images,
    }
    return {**about, "seconds": times, "profile": profile, "peak_megabytes": peak}


def measure_pairs(case: Case, rounds: int) -> tuple[dict[str, Any], list[float]]:
    """Two runs: in two processes with a thread each, in one with two threads, in one with one; and a run's start-up."""
    ways = ("two processes, one thread each", "one process, two threads", "one process, one thread")
    times: dict[str, list[float]] = {way: [] for way in ways}

    def pair(first: Connection, second: Connection) -> float:
        begin = time.perf_counter()
        if first is second:
            return float(ask(first, "go") + ask(first, "go"))
        for pipe in (first, second):
            pipe.send("go")
        for pipe in (first, second):
            pipe.recv()
        return time.perf_counter() - begin

    with processes(case, ("one thread", "one thread", "two threads")) as (one, other, two):
        takers = dict(zip(ways, ((one, other), (two, two), (one, one)), strict=True))
        for number in range(rounds):
            for way in ways[number % 3 :] + ways[: number % 3]:
                times[way].append(round(pair(*takers[way]), 6))
            print("two runs", {way: f"{values[-1]:.2f} s" for way, values in times.items()}, flush=True)
        ahead = [round(value, 3) for value in ask(one, "startup")]
    return {"epochs": case.task.epochs, "seconds": times}, ahead


def versions(device: str) -> dict[str, Any]:
    """What a reader needs to judge the numbers."""
    import torch
    import torchvision

    import flatdirs
    from flatdirs.training.device import device_name, resolve_device, resolve_precision

    found, cpu = resolve_device(device), Path("/proc/cpuinfo")
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "flatdirs": flatdirs.__version__,
        "system": platform.platform(),
        "device": str(found),
        "processor": device_name(found),
        "cores": os.cpu_count(),
        "precision": resolve_precision("auto", found),
        "amx_bf16": found.type == "cpu" and cpu.is_file() and "amx_bf16" in cpu.read_text(encoding="utf-8"),
    }


def measure_all(data: str | None, device: str, quick: bool, resume: bool, folder: Path | None) -> dict[str, Any]:
    """Everything, on the images of `data` or on synthetic ones; written into `folder` as it grows."""
    kind = f"Images: {data_name(checksum(data), jpeg=False)}" if data else "Images: random pixels of CIFAR-10's shape"
    result: dict[str, Any] = {"versions": versions(device), "images": kind, "cases": []}
    if resume and folder is not None and (before := read(folder)) is not None:
        refuse_others(before, result)
        result = {**before, "versions": result["versions"]}
    done = {case["name"] for case in result["cases"]}
    with images_for(data, quick) as path:
        plan = cases(path, device, quick)
        for case, rounds in plan.items():
            if case.name not in done:
                result["cases"].append(measure(case, rounds, quick))
                write(result, folder)
        if "pairs" not in result:
            result["pairs"], result["startup_milliseconds"] = measure_pairs(list(plan)[-1], list(plan.values())[-1])
            write(result, folder)
    return result


def checksum(path: str) -> str:
    """Which images a .npz file holds."""
    from flatdirs.training.data import load

    any_part = {"train_images": 1, "batch_size": 1, "validation_images": 1, "test_images": 1}
    task = replace(next(iter(cases(path, "cpu", quick=True))).task, **any_part)
    return load(task, DataConfig(path=path), torch.device("cpu")).checksum


def refuse_others(before: dict[str, Any], now: dict[str, Any]) -> None:
    """End with a sentence where a result of another machine or of other images would be gone on with."""
    for key in ("images", *sorted({*before["versions"], *now["versions"]} - {"date"})):
        was, is_now = (told["images"] if key == "images" else told["versions"].get(key) for told in (before, now))
        if was != is_now:
            sys.exit(f"{COMMAND}: the result to go on with has {key} {was}, not {is_now}; leave --resume out")


@contextmanager
def images_for(data: str | None, quick: bool) -> Iterator[str]:
    """The path of the images: `data`, or synthetic ones made for the occasion."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(data).absolute() if data else Path(folder) / "synthetic.npz"
        if not data:
            make_images(path, 200 if quick else 50_000, 32)
        yield str(path)


def profiled(case: Case) -> dict[str, Any]:
    """The profile of one case alone."""
    with processes(case, ("flatdirs",)) as (pipe,):
        return {"name": case.name, "profile": ask(pipe, "profile")}


def write(result: dict[str, Any], folder: Path | None) -> None:
    """result.json with a line a case; nothing where there is no folder."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    head = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in result.items() if key != "cases")
    rows = ",\n".join("  " + json.dumps(case) for case in result["cases"])
    part = folder / "result.json.part"
    part.write_text(f'{{{head},\n"cases": [\n{rows}\n]}}\n', encoding="utf-8")
    part.replace(folder / "result.json")


def main() -> None:
    """Measure and write, or draw only."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument(
        "--data", help="CIFAR-10 as a .npz file with x_train, y_train, x_test, y_test; else synthetic images"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1; the first GPU or else the CPU without it")
    parser.add_argument("--quick", action="store_true", help="a reduced size, to see that everything runs")
    parser.add_argument(
        "--resume", action="store_true", help="keep the networks that result.json has; measure the others"
    )
    parser.add_argument("--profile", action="store_true", help="print where a step's time goes; nothing is written")
    parser.add_argument("--draw", action="store_true", help="draw result.md again from result.json")
    parser.add_argument("--output", type=Path, help="folder of the results; with --quick nothing is written without")
    arguments = parser.parse_args()
    folder = arguments.output or (None if arguments.quick and not arguments.draw else HERE)
    if not arguments.draw:
        from flatdirs.training.device import resolve_device

        device = str(resolve_device(arguments.device))
        if arguments.quick:  # for the processes to come; two threads may wait long for each other on a busy machine
            os.environ.setdefault("OMP_NUM_THREADS", "1")
        if arguments.profile:
            with images_for(arguments.data, arguments.quick) as path:
                found = [profiled(case) for case in cases(path, device, arguments.quick)]
            print("\n".join(profiles({"cases": found})))
            return
        try:
            result = measure_all(arguments.data, device, arguments.quick, arguments.resume, folder)
        except FlatdirsError as error:
            sys.exit(f"{COMMAND}: {error}")
        if folder is None:
            print(draw(result))
            return
    pages.write("throughput", folder)
    print((folder / "result.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
