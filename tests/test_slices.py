"""Slices: which runs are made, the ridge of surfaces whose ridge is known, and the command from start to end."""

from __future__ import annotations

import math
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs.report.heatmap import describe, read_cells, write_cells, write_slice
from flatdirs.slices.cells import Key, Run, SliceAxis, SliceGrid, by_cell, mean_value, runs_left, runs_to_make
from flatdirs.slices.ridge import Interval, Ridge, fit_ridge, pooled_spread
from tests.conftest import Ended, calls, module_of, own_function, spawn

Command = Callable[..., Ended]
Surface = Callable[[float, float], float]  # of log2 x and log2 y


def grid(x: tuple[int, int] = (-5, 4), y: tuple[int, int] = (-3, 3), seeds: int = 3, near: int = 1) -> SliceGrid:
    """The slice of learning rate and weight decay."""
    return SliceGrid(SliceAxis("lr", 0.2, 2.0, *x), SliceAxis("wd", 5e-4, 2.0, *y), seeds, near)


def run_of(slice_: SliceGrid, key: Key, surface: Surface, noise: float = 0.0) -> Run:
    """A run whose value lies on a surface, plus noise that is a function of cell and seed."""
    (x, y), seed = key
    value = surface(math.log2(slice_.x.value(x)), math.log2(slice_.y.value(y)))
    return Run((x, y), seed, value + noise * random.Random(f"{x} {y} {seed}").gauss(0, 1))


def finished(slice_: SliceGrid, surface: Surface, noise: float = 0.0, workers: int = 1, order: int = 0) -> list[Run]:
    """All runs of a slice, made by so many workers whose runs end in a random order."""
    runs: list[Run] = []
    busy: list[Key] = []
    luck = random.Random(order)
    while True:
        while len(busy) < workers and (key := next(runs_to_make(slice_, runs, busy), None)) is not None:
            busy.append(key)
        if not busy:
            return runs
        runs.append(run_of(slice_, busy.pop(luck.randrange(len(busy))), surface, noise))


def ridge_of(exponent: float, along: float, across: float) -> Surface:
    """A parabolic ridge x ∝ y^exponent through the centre of `grid`, its top one doubling of y above the centre."""

    def surface(u: float, v: float) -> float:
        u, v = u - math.log2(0.2), v - math.log2(5e-4)
        return 90.0 - across * (u - exponent * v - 0.3) ** 2 - along * (v - 1.0) ** 2

    return surface


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(2, 4), st.integers(0, 2**16), st.floats(0.0, 3.0), st.integers(1, 3))
def test_the_runs_of_a_slice_do_not_depend_on_its_workers(workers: int, order: int, noise: float, near: int) -> None:
    slice_ = grid(seeds=3, near=near)
    surface = ridge_of(-1, 0.2, 2.0)
    alone = finished(slice_, surface, noise)
    together = finished(slice_, surface, noise, workers, order)
    assert {(run.cell, run.seed) for run in alone} == {(run.cell, run.seed) for run in together}
    assert len(alone) == len(together)
    cells = by_cell(alone)
    assert set(cells) == set(slice_.cells())
    for y in slice_.y.steps:
        top = max(slice_.x.steps, key=lambda x: mean_value(cells[x, y]))
        assert all(len(cells[x, y]) == 3 for x in slice_.x.steps if abs(x - top) <= near)
    assert runs_left(slice_, alone) == 0


def ridge(slice_: SliceGrid, runs: list[Run], **more: Any) -> Ridge:
    """The ridge, which must be there."""
    found = fit_ridge(slice_, runs, **more)
    assert found is not None
    return found


def test_a_row_of_diverged_runs_is_not_repeated() -> None:
    slice_ = grid((-1, 1), (0, 1))
    runs = [Run(cell, 0, 10.0, diverged=cell[1] == 1) for cell in slice_.cells()]
    assert {cell[1] for cell, _ in runs_to_make(slice_, runs)} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-1.0, 1.0, -0.5, 0.0])
def test_the_ridge_of_a_known_surface_is_found(exponent: float) -> None:
    slice_ = grid((-6, 6))
    runs = finished(slice_, ridge_of(exponent, 0.1, 2.0))
    valley = [Run(run.cell, run.seed, -(run.value or 0)) for run in runs]
    for found in (ridge(slice_, runs), ridge(slice_, valley, maximize=False)):
        assert found.exponent.value == pytest.approx(exponent, abs=1e-9)
        assert found.along.value == pytest.approx(0.1)
        assert found.across.value == pytest.approx(2.0)
        assert found.angle.value == pytest.approx(math.degrees(math.atan2(1, exponent)))
        assert found.drop == pytest.approx(0.1 * 16)
        assert found.doublings == pytest.approx(6)
        assert found.spread == pytest.approx(0, abs=1e-12)


def test_noise_widens_the_interval_and_stays_inside_it() -> None:
    slice_ = grid((-6, 6))
    low, high = (ridge(slice_, finished(slice_, ridge_of(-1, 0.1, 2.0), n), draws=300) for n in (0.1, 1.0))
    for found, noise in ((low, 0.1), (high, 1.0)):
        assert found.spread == pytest.approx(noise, rel=0.5)
        assert found.exponent.holds(-1)
    assert high.exponent.high - high.exponent.low > 2 * (low.exponent.high - low.exponent.low)
    assert not high.exponent.holds(0)
    almost = math.nextafter(-1, 0)
    assert Interval(almost, almost, almost).holds(-1), "rounding puts no claim outside"
    assert not Interval(almost, almost, almost).holds(-1.001)


@pytest.mark.slow
def test_a_cliff_and_rows_beyond_the_edge_do_not_bend_the_ridge() -> None:
    slice_ = grid((-3, 4))  # the ridge leaves this grid in the outer rows
    runs = finished(slice_, ridge_of(-1, 0.1, 2.0))
    assert ridge(slice_, runs).edge_rows == 1
    far = 1.6  # doublings right of the ridge
    fallen = [Run(run.cell, run.seed, 10.0, diverged=True) if sum(run.cell) > far else run for run in runs]
    bent = ridge(slice_, fallen)
    assert bent.exponent.value == pytest.approx(-1)
    assert bent.across.value == pytest.approx(2.0)


@pytest.mark.slow
def test_too_few_rows_have_no_ridge_and_too_few_cells_no_flatness(tmp_path: Path) -> None:
    slice_ = grid((-2, 2), (-1, 0))
    runs = finished(slice_, ridge_of(-1, 0.1, 2.0))
    assert fit_ridge(slice_, runs) is None
    assert "no ridge" in describe(slice_, runs, "%")
    for made in (runs, []):  # [] as before the first run
        files = write_slice(tmp_path, slice_, made, "%")
        assert files[1].read_bytes().startswith(b"\x89PNG")
    small = grid((-1, 1), (-1, 1), seeds=1)
    two = [Run(cell, 0, 50.0 - abs(cell[0]), diverged=cell[0] == 1) for cell in small.cells()]
    assert "flatness: not known" in describe(small, two, "%")


def test_the_spread_is_pooled_over_cells() -> None:
    runs = [Run((0, 0), 0, 1.0), Run((0, 0), 1, 3.0), Run((1, 0), 0, 5.0), Run((1, 0), 1, 5.0), Run((2, 0), 0, 9.0)]
    assert pooled_spread(runs) == pytest.approx(1.0)
    assert pooled_spread(runs[-1:]) is None


def test_cells_come_back_from_their_file(tmp_path: Path) -> None:
    slice_ = grid((-1, 1), (-1, 1))
    runs = [*finished(slice_, ridge_of(-1, 0.1, 2.0)), Run((1, 1), 7, None, diverged=True, seconds=2.0)]
    write_cells(tmp_path / "cells.csv", slice_, runs)
    back = {(run.cell, run.seed, run.diverged): run.value for run in read_cells(tmp_path / "cells.csv")}
    assert back == {
        (run.cell, run.seed, run.diverged): None if run.value is None else pytest.approx(run.value, abs=1e-4)
        for run in runs
    }


@pytest.mark.parametrize("step", [1.5, 1.4142])
def test_what_is_run_is_what_is_stored_and_printed(step: float, workplace: Path, command: Command) -> None:
    cells = ["y=one_minus_momentum", f"step={step}", "x_steps=[-1,1]", "y_steps=[-1,1]", "seeds=1"]
    module = workplace / f"{module_of(workplace)}.py"
    module.write_text(
        "def train(lr, momentum, **others):\n    print(f'{lr!r} {momentum!r} {sorted(others)}')\n    return 1.0\n"
    )
    ended = command("slices", *own_function(workplace)[:2], *cells)
    assert ended.code == 0, ended.err
    run = [line.split(" ", 2) for line in ended.out.splitlines() if line.startswith("0.")]
    printed = re.findall(r"^lr=(\S+) one_minus_momentum=(\S+) seed", ended.out + ended.err, re.MULTILINE)
    assert [(lr, f"{1 - float(momentum):.10g}") for lr, momentum, _ in run] == printed
    assert len(set(printed)) == 9
    assert all(len(number.partition(".")[2].lstrip("0")) <= 4 for both in printed for number in both)
    assert all(len(momentum) <= 7 and others == "['report', 'seed', 'wd']" for _, momentum, others in run)
    table = (workplace / "studies/callable-one_minus_momentum-against-lr/cells.csv").read_text(encoding="utf-8")
    assert {tuple(line.split(",")[2:4]) for line in table.splitlines()[1:]} == set(printed)


def test_status_shows_the_latest_search_and_no_slice(workplace: Path, command: Command) -> None:
    few = ["x_steps=[-1,0]", "y_steps=[-1,0]", "seeds=1"]
    assert command("slices", *own_function(workplace)[:2], *few).code == 0
    ended = command("status")
    assert (ended.code, "output" in ended.err) == (2, True)
    assert command("tune", *own_function(workplace), "budget=1", "study=search").code == 0
    slices = command("slices", *own_function(workplace)[:2], *few, "study=again")
    assert slices.code == 0
    assert "1 run done" in slices.out
    ended = command("status")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("study search:")
    assert "Study again" in command("analyze").out, "a slice can be analyzed"
    assert command("status", "again").code == 2


def hill(folder: Path, *more: str) -> list[str]:
    """A slice of the hill of `workplace`, whose ridge is lr·wd/(1−momentum) = constant."""
    return [*own_function(folder)[:2], "start.lr=0.2", "x_steps=[-3,5]", "y_steps=[-1,1]", *more]


@pytest.mark.slow
def test_the_command_makes_the_runs_and_finds_the_ridge(workplace: Path, command: Command) -> None:
    first = command("slices", *hill(workplace, "budget=5"))
    assert first.code == 0, first.err
    assert len(calls(workplace)) == 5
    assert "5 of 27 cells, 5 runs" in first.out
    ended = command("slices", *hill(workplace))
    assert ended.code == 0, ended.err
    made = calls(workplace)
    assert len(made) == len(set(made)) == 27 + 3 * 3 * 2
    assert "lr ∝ wd^-1.00" in ended.out
    assert re.search(r"exponent -1, .* is inside", ended.out)
    folder = workplace / "studies" / "callable-wd-against-lr"
    assert (folder / "slice.png").read_bytes().startswith(b"\x89PNG")
    assert len(read_cells(folder / "cells.csv")) == len(made)
    assert command("slices", *hill(workplace)).code == 0
    assert calls(workplace) == made, "nothing left to run"
    wider = command("slices", *hill(workplace, "y_steps=[-1,2]", "budget=100"))
    assert wider.code == 0
    assert set(made) < set(calls(workplace))
    assert len(calls(workplace)) == len(set(calls(workplace))) == len(made) + 9 + 6
    other = command("slices", *hill(workplace, "start.momentum=0.5"))
    assert other.code == 2, "another slice under the same name"
    assert "start.momentum" in other.err
    momentum = command("slices", *hill(workplace, "y=one_minus_momentum", "start.wd=0.00125"))
    assert momentum.code == 0, momentum.err
    assert "lr ∝ one_minus_momentum^1.00" in momentum.out


@pytest.mark.slow
def test_a_killed_worker_loses_one_run_and_two_workers_share(workplace: Path) -> None:
    module = workplace / f"{module_of(workplace)}.py"
    slow = module.read_text(encoding="utf-8").replace(
        "    report(1, 50.0)", "    time.sleep(0.05)\n    report(1, 50.0)"
    )
    module.write_text(slow, encoding="utf-8")
    victim = spawn("flatdirs.slices", *hill(workplace), cwd=workplace)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((workplace / "calls.txt").exists() and len(calls(workplace)) > 5):
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    workers = [spawn("flatdirs.slices", *hill(workplace), cwd=workplace) for _ in range(2)]
    ended = [(worker, *worker.communicate(timeout=120)) for worker in workers]
    assert all(worker.returncode == 0 for worker, _, _ in ended), ended
    made = calls(workplace)
    assert len(set(made)) == 27 + 18
    assert len(made) <= 27 + 18 + 1  # the run that was killed was made again


@pytest.mark.slow
def test_an_image_task_is_sliced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["task.epochs=1", "task.width=2", "x_steps=[-1,1]", "y_steps=[-1,0]", "seeds=1"]
    ended = command("slices", "y=batch_size", *short)
    assert ended.code == 0, ended.err
    assert "6 of 6 cells" in ended.out
    assert "batch_size=8 " in ended.out


MISTAKES = {
    "y=lr": "y",
    "y=dropout": "y",
    "x_steps=[1,3]": "x_steps",
    "x_steps=[0,0]": "x_steps",
    "x_steps=3": "x_steps",
    "y=one_minus_momentum y_steps=[-1,4]": "y_steps",
    "y=momentum": "y",
    "y=momentum task=callable task.function=math:hypot": "y",
    "x=beta1 task=callable task.function=math:hypot": "x",
    "start.momentum=1.2 task=callable task.function=math:hypot": "start.momentum",
    "y=batch_size y_steps=[-5,0]": "y_steps",
    "y=batch_size y_steps=[0,6]": "batch_size",
    "x_steps=[-5,2000]": "x_steps",
    "step=1e300": "x_steps",
    "y=batch_size y_steps=[-3,1100]": "y_steps",
    "y=batch_size optimizer.rate_per_images=16": "optimizer.rate_per_images",
    "floor=200": "floor",
    "step=1": "step",
    "seeds=0": "seeds",
    "start.wd=0": "start.wd",
    "direction=minimize": "direction",
    "budget=-1": "budget",
    "study=a/b": "study",
    "chart=sgd": "chart",
}


@pytest.mark.parametrize("overrides", MISTAKES)
def test_a_mistake_is_one_sentence_with_its_key(
    overrides: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command("slices", *overrides.split())
    assert ended.code == 2
    assert MISTAKES[overrides] in ended.err
    assert ended.err.count("\n") == 1
