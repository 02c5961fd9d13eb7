"""benchmarks/lattice: an order without repeats, rounds that follow from rows, runs made once, a page from rows."""

from __future__ import annotations

import math
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import rows
from benchmarks.lattice import __main__ as command
from benchmarks.lattice import lattices, page, refinement, running
from benchmarks.lattice.findings import Evidence
from benchmarks.lattice.lattices import Axis, Lattice, Run
from benchmarks.lattice.results import CHANCE, Result, by_cell, results, run_of
from flatdirs.objectives.base import Measurement

TINY = Lattice(
    name="tiny",
    task="digits",
    optimizer="sgd",
    axes=(Axis("lr", -4, 2), Axis("one_minus_momentum", -3, 0), Axis("wd", -8, -4)),
    sobol_seed=0,
    spread=40,
    repeated=4,
    cells=60,
    round=8,
    near=3.0,
    probe={"momentum": 0.9, "wd": 5e-4},
)


MADE = {"torch": "2", "numpy": "3", "python": "4", "precision": "fp32", "device": "cpu (none)", "threads": 1}


def accuracy(run: Run) -> float:
    """A ridge along lr/(1−momentum) = 1 with its top at a small wd, a cliff at large rates, and some noise."""
    across = run.cell[0] - run.cell[1]
    noise = math.sin(100 * TINY.number(run))
    return 0.0 if across > 2 else 90 - 2 * abs(across) ** 2 - 0.5 * (run.cell[2] + 7) ** 2 + 0.5 * noise


def train(run: Run) -> Measurement:
    """What the trainer would give."""
    epoch = {"number": 1, "train_loss": 2.0, "loss": 1.23456, "accuracy": 50.0, "seconds": 1.0, "seed": run.seed}
    state = "finished" if accuracy(run) else "diverged"
    loss = 0.5 if state == "finished" else None
    return Measurement(state, accuracy(run), loss, False, 1.5, (epoch, {**epoch, "loss": None}), {})


def fill(folder: Path, budget: int | None = None, lattice: Lattice = TINY) -> list[str]:
    """The lines that a process says."""
    said: list[str] = []
    running.fill(folder, lattice, train, MADE, budget, said.append)
    return said


def on_file(folder: Path) -> list[Run]:
    """Every run on file, in the file's order."""
    return [run_of(TINY, row) for row in rows.read(folder / "tiny.csv")]


# --- order and rounds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lattice", lattices.read().values(), ids=lambda lattice: lattice.name)
def test_the_order_opens_with_the_sides_and_meets_no_cell_twice(lattice: Lattice) -> None:
    order = lattice.order
    assert len(order) == len(set(order)) == lattice.spread
    assert set(order) <= set(lattice.all_cells())
    assert order[:14] == (*lattice.corners, *lattice.middles)
    assert order == lattices.named(lattice.name).order
    for place, axis in enumerate(lattice.axes):  # spread: no step has less than half of its share
        counts = [sum(cell[place] == power for cell in order) for power in axis.steps]
        assert min(counts) > lattice.spread / len(axis.steps) / 2


def test_hyperparameters_are_exact_and_numbers_are_the_runs_own() -> None:
    assert TINY.hyperparameters((-4, -3, -8)) == {"lr": 1 / 16, "momentum": 0.875, "wd": 1 / 256}
    numbers = [TINY.number(Run(cell, seed)) for cell in TINY.all_cells() for seed in range(3)]
    assert sorted(numbers) == list(range(1, 3 * TINY.size + 1))


def test_neighbours_stay_inside() -> None:
    assert len(TINY.around((0, -1, -6))) == 26
    assert len(TINY.around((-4, -3, -8))) == 7
    assert set(TINY.around((2, 0, -4))) <= set(TINY.all_cells())


@cache
def whole() -> Mapping[Run, Result]:
    """A lattice filled to its end."""
    found: dict[Run, Result] = {}
    while wanted := refinement.runs_left(TINY, found):
        found |= {run: Result(accuracy(run) or CHANCE, not accuracy(run), 1.0) for run in wanted}
    return found


def test_a_whole_lattice_has_its_cells_and_the_ridges_seeds() -> None:
    found = whole()
    cells = by_cell(found)
    assert len(cells) == TINY.cells
    means = {cell: statistics.fmean(values) for cell, values in cells.items()}
    best = statistics.fmean(sorted(means.values())[-10:])
    assert all(len(cells[cell]) == 3 for cell, mean in means.items() if mean >= best - 1.5)
    assert all(len(cells[cell]) >= 2 for cell, mean in means.items() if mean >= best - 3)
    refined = [means[cell] for cell in cells if cell not in TINY.order]
    others = [means[cell] for cell in TINY.order]
    assert statistics.median(refined) > statistics.median(others)


@settings(max_examples=20)
@given(st.data())
def test_rounds_follow_from_finished_rounds_alone(data: st.DataObject) -> None:
    """Runs of a round in progress, or of one to come, change nothing about what that round is."""
    found = whole()
    planned = list(refinement.rounds(TINY, found))
    number = data.draw(st.integers(0, len(planned) - 1))
    earlier = {run: found[run] for round_ in planned[:number] for run in round_}
    other = data.draw(st.lists(st.sampled_from(sorted(set(found) - set(earlier))), unique=True))
    more = {run: Result(data.draw(st.floats(0, 100)), False, 1.0) for run in other}
    missing = [run for run in planned[number] if run not in more]
    if missing:
        assert refinement.runs_left(TINY, {**more, **earlier}) == missing


def test_an_untried_cell_is_as_promising_as_its_two_best_neighbours() -> None:
    means = {(0, -1, -6): 50.0, (1, -1, -6): 30.0}
    order = refinement.promising(TINY, means)
    beside_both = {(x, y, z) for x in (0, 1) for y in (-2, -1, 0) for z in (-7, -6, -5)} - set(means)
    assert set(order[: len(beside_both)]) == beside_both
    assert {cell[0] for cell in order[len(beside_both) :][:9]} == {-1}  # beside 50 alone, then beside 30 alone
    assert {cell[0] for cell in order[len(beside_both) + 9 :]} == {2}


# --- running -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lattice_that_was_stopped_goes_on_as_one_that_was_not(tmp_path: Path) -> None:
    for name in ("stopped", "at_once"):
        (tmp_path / name).mkdir()
    assert len(fill(tmp_path / "stopped", 17)) == 17
    path = tmp_path / "stopped" / "tiny.csv"
    path.write_text(path.read_text(encoding="utf-8") + "-4,-3,-8,0.06", encoding="utf-8")  # what a kill leaves
    fill(tmp_path / "stopped")
    fill(tmp_path / "at_once")
    assert on_file(tmp_path / "stopped") == on_file(tmp_path / "at_once")
    assert set(on_file(tmp_path / "at_once")) == set(whole())
    assert fill(tmp_path / "at_once") == []


def _work(folder: Path, name: str, until: str | None = None) -> None:
    """A process that notes every run it trains; its first one lasts until the process `until` has noted one."""
    notes = folder / "trained.txt"

    def noting(run: Run) -> Measurement:
        while until and until not in notes.read_text(encoding="utf-8"):
            time.sleep(0.01)
        with notes.open("a", encoding="utf-8") as file:
            file.write(f"{name} {TINY.number(run)}\n")
        return train(run)

    running.fill(folder, TINY, noting, {}, None, lambda line: None)


@pytest.mark.slow
def test_processes_share_a_lattice_and_train_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "WAIT_SECONDS", 0.01)
    (tmp_path / "trained.txt").touch()
    other = multiprocessing.get_context("spawn").Process(target=_work, args=(tmp_path, "other"))
    other.start()
    _work(tmp_path, "own", until="other")
    other.join()
    assert other.exitcode == 0
    notes = [line.split() for line in (tmp_path / "trained.txt").read_text(encoding="utf-8").splitlines()]
    assert {name for name, _ in notes} == {"own", "other"}
    trained = [number for _, number in notes]
    assert len(trained) == len(set(trained)) == len(on_file(tmp_path))
    assert set(on_file(tmp_path)) == set(whole())


def test_a_row_says_what_the_run_was_and_the_same_provenance_is_noted_once(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    row = rows.read(tmp_path / "tiny.csv")[7]
    assert (row["lr"], row["momentum"], row["wd"], row["seed"]) == ("4.0", "0.0", "0.0625", "0")
    assert (row["loss_curve"], row["train_loss_curve"], row["accuracy_curve"]) == ("1.235;nan", "2;2", "50;50")
    found = results(TINY, rows.read(tmp_path / "tiny.csv"))
    assert found[Run((2, -3, -8), 0)] == Result(CHANCE, True, 1.5)
    made = (tmp_path / "provenance.json").read_text(encoding="utf-8")
    assert made.count("{") == 2
    assert row["made"] in made


# --- page and command ----------------------------------------------------------------------------------------------


def test_the_page_says_what_the_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattices, "read", lambda: {"tiny": TINY})
    assert "Not measured yet." in page.results(tmp_path)["README.md"]  # type: ignore[operator]
    fill(tmp_path)
    probes = [("0", "0.01", "360"), ("1", "0.04", "180"), ("2", "", "180")]
    keys = ("lattice", "seed", "log_midpoint", "cost_steps", "run_steps")
    rows.write(
        tmp_path / "probes.csv", keys, [dict(zip(keys, ("tiny", *probe, "720"), strict=True)) for probe in probes]
    )
    drawn = page.results(tmp_path)
    text = drawn["README.md"]
    assert isinstance(text, str)
    assert "torch 2, numpy 3, Python 4, fp32 on cpu (none), 1 thread." in text
    assert f"{len(whole())} runs in 60 cells so far (40 of the 40 spread ones" in text
    assert (
        "2 of 3 seeds had an answer, log_midpoint 0.02 (geometric mean; 0.01 to 0.04). It cost as much as 0.33 runs"
        in text
    )
    best = Evidence(TINY, tmp_path).best[0]
    assert f"| {best[0]} | {best[1]} | {best[2]} | {best[0] - best[1] + best[2]} | {best[0] - best[1]} |" in text
    assert set(drawn) == {"README.md", "tiny.png"}


def test_the_spread_between_seeds_is_pooled_by_level(tmp_path: Path) -> None:
    fill(tmp_path)
    bands = Evidence(TINY, tmp_path).bands
    values = Evidence(TINY, tmp_path).cells.values()
    assert sum(band.cells for band in bands) == sum(len(some) > 1 for some in values)
    assert 0.1 < bands[0].deviation < 0.7  # half a sine


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["task=digts"], "task"), (["tasks=1"], "tasks"), (["only=all"], "only"), (["budget=0"], "budget")],
)
def test_a_mistake_is_a_sentence(arguments: Sequence[str], key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("flatdirs: ")
    assert key in error


def test_a_real_run_is_that_of_tune() -> None:
    """A cell's run goes through the objective that `tune` has, with its defaults but for what the lattice changes."""
    from flatdirs.training.schedule import Cosine, Triangle

    for lattice in lattices.read().values():
        objective = command.objective_of(lattice, command.read(["data.path=images.npz"]))
        epochs = lattice.changes.get("epochs", 6 if "cifar" in lattice.task else 20)
        assert (objective.task.name, objective.task.epochs) == (lattice.task, epochs)
        schedule = Cosine() if lattice.name == "digits_long" else Triangle()
        assert (objective.schedule, objective.data.evaluate, objective.threads) == (schedule, "validation", 1)
        objective.check(lattice.hyperparameters(lattice.order[-1]))
        objective.check({"lr": 1.0, **lattice.probe})
