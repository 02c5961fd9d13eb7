"""benchmarks/lattice: rounds that follow from rows, runs made once, tables from rows."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.lattice import __main__ as command
from benchmarks.lattice import lattices, page, running
from benchmarks.lattice.lattices import Lattice, Run
from flatdirs.objectives.base import Measurement

AXES = {"lr": (-4, 2), "one_minus_momentum": (-3, 0), "wd": (-8, -4)}
COUNTS = {"sobol_seed": 0, "spread": 40, "repeated": 4, "cells": 60, "round": 8}
TINY = Lattice("tiny", "digits", "sgd", AXES, **COUNTS, near=3.0, probe={"momentum": 0.9, "wd": 5e-4})


def accuracy(run: Run) -> float:
    """A ridge along lr/(1 − momentum) = 1 with its top at a small wd, a cliff at large rates, and some noise."""
    across = run.cell[0] - run.cell[1]
    noise = math.sin(sum(31**place * power for place, power in enumerate((*run.cell, run.seed))))
    return 0.0 if across > 2 else 90 - 2 * abs(across) ** 2 - 0.5 * (run.cell[2] + 7) ** 2 + 0.5 * noise


def train(run: Run) -> Measurement:
    epoch = {"number": 1, "train_loss": 2.0, "loss": 1.23456, "accuracy": 50.0, "seconds": 1.0, "seed": run.seed}
    state, loss = ("finished", 0.5) if accuracy(run) else ("diverged", None)
    return Measurement(state, accuracy(run), loss, False, 1.5, (epoch, {**epoch, "loss": None}), {})


def fill(folder: Path, budget: int | None = None) -> list[Run]:
    """Every run on file after one process has worked, in the file's order."""
    running.fill(folder, TINY, train, {"torch": "2"}, budget)
    return [running.run_of(TINY, row) for row in rows.read(folder / "tiny.csv")]


@cache
def whole() -> Mapping[Run, float]:
    """A complete lattice."""
    found: dict[Run, float] = {}
    while wanted := running.runs_left(TINY, found):
        found |= {run: accuracy(run) or running.CHANCE for run in wanted}
    return found


def test_the_order_spreads_over_every_axis_and_has_no_cell_twice() -> None:
    for lattice in lattices.read().values():
        assert len(lattice.order) == len(set(lattice.order)) == lattice.spread
        for place, powers in enumerate(lattice.powers):  # no step has less than half of its share
            counts = [sum(cell[place] == power for cell in lattice.order) for power in powers]
            assert min(counts) > lattice.spread / len(powers) / 2


def test_a_complete_lattice_has_its_cells_and_the_seeds_of_the_ridge() -> None:
    seeds = {cell: sum(run.cell == cell for run in whole()) for cell, _ in whole()}
    means = {cell: sum(whole()[run] for run in whole() if run.cell == cell) / count for cell, count in seeds.items()}
    best = sum(sorted(means.values())[-10:]) / 10
    assert len(seeds) == TINY.cells
    assert all(seeds[cell] == 3 for cell, mean in means.items() if mean >= best - 1.5)
    assert all(seeds[cell] >= 2 for cell, mean in means.items() if mean >= best - 3)


@pytest.mark.slow
def test_a_lattice_that_was_stopped_ends_as_any_other(tmp_path: Path) -> None:
    for name in ("stopped", "at_once"):
        (tmp_path / name).mkdir()
    assert len(fill(tmp_path / "stopped", 17)) == 17
    path = tmp_path / "stopped" / "tiny.csv"
    path.write_text(path.read_text(encoding="utf-8") + "-4,-3,-8,0.06", encoding="utf-8")  # what a kill leaves
    assert fill(tmp_path / "stopped") == fill(tmp_path / "at_once")
    assert running.results(TINY, rows.read(path)).keys() == whole().keys()


@pytest.mark.slow
def test_processes_share_a_lattice_and_train_nothing_twice(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("spawn").Process(target=fill, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = [running.run_of(TINY, row) for row in rows.read(tmp_path / "tiny.csv")]
    assert len(found) == len(set(found)) == len(whole())


@pytest.mark.slow
def test_tables_and_figure_come_from_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattices, "read", lambda: {"tiny": TINY})
    fill(tmp_path)
    row = rows.read(tmp_path / "tiny.csv")[7]
    assert (row["learning_rate"], row["momentum"], row["loss_curve"]) == ("4.0", "0.0", "1.235;nan")
    assert row["made"] in (tmp_path / "provenance.json").read_text(encoding="utf-8")
    probes = [("0", "0.01", "360"), ("1", "0.04", "360"), ("2", "", "0")]
    keys = ("lattice", "seed", "log_midpoint", "cost_steps", "run_steps")
    rows.write(tmp_path / "probes.csv", keys, [dict(zip(keys, ("tiny", *one, "720"), strict=True)) for one in probes])
    values = page.values(tmp_path)
    cells = [cell.strip() for cell in values["lattices"].splitlines()[2].split("|")[1:-1]]
    assert cells[:4] == ["tiny", str(len(whole())), str(sum(accuracy(run) == 0 for run in whole())), "60"]
    assert all(part in values["probes"] for part in ("2 of 3", "0.02 (0.01 to 0.04)", "0.33"))
    assert page.figures(tmp_path)["cells.png"].startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_lattice_of_losses_is_made_and_shown_in_nats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = {"lr": (-4, 2), "batch_size": (1, 3), "wd": (-8, -4)}
    keys = {"fixed": {"beta1": 0.9}, "metric": "loss", "chance": 4.0, "near": 0.2, "probe": None}
    small = {"sobol_seed": 0, "spread": 20, "repeated": 3, "cells": 30, "round": 5}
    tiny = Lattice("tiny", "text_small", "adamw", axes, **small, **keys)  # type: ignore[arg-type]

    def run(one: Run) -> Measurement:
        assert tiny.hyperparameters(one.cell)["beta1"] == 0.9
        loss = 2.0 + 0.1 * abs(one.cell[0] + 1) + 0.01 * one.seed
        state, value = ("diverged", None) if one.cell[0] == 2 else ("finished", loss)
        return Measurement(state, value, value, None, 1.0, (), {}, accuracy=25.0)  # type: ignore[arg-type]

    running.fill(tmp_path, tiny, run, {"torch": "2"}, 12)
    monkeypatch.setattr(page, "of", lambda metric: {"tiny": tiny})
    monkeypatch.setattr(lattices, "read", lambda: {"tiny": tiny})
    assert "| tiny" in page.texts(tmp_path)["text"], "a lattice that has only begun has a page"
    running.fill(tmp_path, tiny, run, {"torch": "2"}, None)
    assert running.runs_left(tiny, running.results(tiny, rows.read(tmp_path / "tiny.csv"))) == []
    cells = [cell.strip() for cell in page.texts(tmp_path)["text"].splitlines()[2].split("|")[1:-1]]
    assert cells[3] == "30"  # cells
    assert cells[-2:] == [f"{4.0 - float(cells[6]):.3f}", f"{float(cells[9]) / float(cells[10]):.1%}"]
    assert float(cells[9]) == pytest.approx(0.01 / math.sqrt(2), abs=0.003)  # two seeds, 0.01 nats apart
    best = page.texts(tmp_path)["text_best"].splitlines()[2].split("|")
    assert best[4].strip() == "-1"  # log2 of the best lr
    assert page.text_figure(tmp_path)["text.png"].startswith(b"\x89PNG")


def test_a_mistake_is_reported_and_a_cell_is_trained_as_tune_trains_it(capsys: pytest.CaptureFixture[str]) -> None:
    for argument, key in (("task=digts", "task"), ("tasks=1", "tasks")):
        assert command.main([argument]) == 2
        assert key in capsys.readouterr().err
    for lattice in lattices.read().values():
        objective = command.objective_of(lattice, {"data.path": "images.npz", "device": "cpu"})
        assert (objective.task.name, objective.data.evaluate, objective.threads) == (lattice.task, "validation", 1)
        objective.check(lattice.hyperparameters(lattice.order[-1]))
