"""benchmarks/scouts: what a scout stands for and costs, what is trained, where ridges lie, searches behind scouts."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import Cell, Run
from benchmarks.runs_to_target import cells, fitting, surface
from benchmarks.runs_to_target.conditions import Start
from benchmarks.runs_to_target.surface import Surface
from benchmarks.scouts import __main__ as command
from benchmarks.scouts import findings, grounds, page, plan, ranking, ridges, searching, text
from benchmarks.scouts.grounds import Grounds
from benchmarks.scouts.plan import PLAIN, PLANS, TRANSFERS, Transfer
from flatdirs.errors import ConfigError

DIGITS = lattices.named("digits")
STEPS = 360
SETTINGS = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-6, 1e3),
        "momentum": st.floats(0, 0.999),
        "wd": st.floats(1e-8, 1.0),
    }
)


def timescales(steps: float, setting: dict[str, float]) -> float:
    """T·lr·wd/(1−momentum)."""
    return steps * setting["lr"] * setting["wd"] / (1 - setting["momentum"])


@given(SETTINGS, st.sampled_from(TRANSFERS))
def test_a_transfer_keeps_the_relaxation_or_all_numbers_and_comes_back(
    setting: dict[str, float], carried: Transfer
) -> None:
    scout = carried.to_scout(setting)
    kept = timescales(STEPS / plan.SHORTER, scout) / timescales(STEPS, setting)
    assert kept == pytest.approx(1.0 if carried.moved else 1 / plan.SHORTER)
    assert carried.to_whole(scout) == setting
    assert {name for name in setting if scout[name] != setting[name]} == set(carried.moved)


@pytest.mark.parametrize("carried", TRANSFERS, ids=lambda found: found.name)
def test_a_cell_is_carried_over_as_its_hyperparameters_are(carried: Transfer) -> None:
    there = carried.cell(DIGITS, (-4, -3, -9))
    assert there is not None
    assert DIGITS.hyperparameters(there) == carried.to_scout(DIGITS.hyperparameters((-4, -3, -9)))


def test_beyond_the_lattice_no_cell_stands_for_another() -> None:
    assert plan.transfer("rate").cell(DIGITS, (4, -3, -9)) is None
    assert plan.transfer("decay").cell(DIGITS, (4, -3, -9)) == (4, -3, -7)


def test_a_scout_costs_a_quarter_of_a_run() -> None:
    assert plan.cost(4) == 1
    assert plan.cost(3, 2) == 2.75
    task = DIGITS.recipe
    assert task["epochs"] % plan.SHORTER == 0


def height(cell: Cell, steps: int) -> float:
    """A ridge at lr/(1−momentum) = 1 and T·lr·wd/(1−momentum) = 1 that shorter runs have where T says, and a lower one."""
    rate, averaging, decay = cell
    relaxed = rate + decay - averaging + math.log2(steps)
    return 10 + (85 if steps == STEPS else 75) * math.exp(-((relaxed / 5) ** 2) - ((rate - averaging) / 8) ** 2)


def row(cell: Cell, seed: int, steps: int) -> dict[str, str]:
    """A row as the lattices' files have it."""
    accuracy = height(cell, steps) + 0.2 * math.sin(1000 * seed + 7 * cell[0] + 5 * cell[1] + 3 * cell[2])
    loss = f"{2.3 - 2 * (accuracy - 10) / 90:.4g}"
    powers = {f"log2_{axis.name}": str(power) for axis, power in zip(DIGITS.axes, cell, strict=True)}
    rest = {"seed": str(seed), "accuracy": f"{accuracy:.2f}", "loss": loss, "diverged": "0", "seconds": "1"}
    return {**powers, **rest, "train_loss_curve": loss}


@cache
def ground(steps: int) -> Surface:
    """A surface of some cells; the metric is given, so nothing is learnt."""
    tried = [c for c in DIGITS.all_cells() if c[0] % 2 == 0 and c[1] % 2 == 0 and c[2] % 2 == 0]
    found = cells.from_rows(DIGITS, [row(cell, seed, steps) for cell in tried for seed in (0, 1)])
    metric = {"factor": (np.eye(3) / 5).tolist(), "height": 4.0, "noise": 1.0}
    entry = {"metrics": dict.fromkeys((*cells.FIELDS, "sign"), metric), "errors": {}}
    task = {**DIGITS.recipe, "epochs": steps // 18}
    return surface.build(found, task, entry)


@cache
def both() -> Grounds:
    """Whole runs and scouts."""
    return Grounds(ground(STEPS), ground(STEPS // plan.SHORTER))


def test_scouts_are_the_whole_runs_cells_the_carried_ridge_and_then_second_seeds_on_their_own() -> None:
    some = [cell for cell in DIGITS.all_cells() if all(power % 2 == 0 for power in cell)]
    whole = [row(cell, 0, STEPS) for cell in some]
    first = plan.wanted(DIGITS, whole, [])
    best = max(some, key=lambda cell: height(cell, STEPS))
    assert len(set(first)) == len(first)
    assert {run.cell for run in first} >= {*some, *(found.cell(DIGITS, best) for found in TRANSFERS)}
    assert {run.seed for run in first} == {0}
    scouts = [row(run.cell, run.seed, STEPS // plan.SHORTER) for run in first]
    second = [run for run in plan.wanted(DIGITS, whole, scouts) if run not in first]
    tops = sorted(first, key=lambda run: height(run.cell, STEPS // plan.SHORTER))
    assert {run.seed for run in second} == {1}
    assert Run(tops[-1].cell, 1) in second
    assert Run(tops[0].cell, 1) not in second


def test_marks_of_a_parabola_lie_where_algebra_has_them() -> None:
    places = np.arange(20, dtype=float)
    low, best, high = ridges.marks(-((places - 8.25) ** 2) / 8)
    assert best == pytest.approx(8.25)
    assert low == pytest.approx(8.25 - 4, abs=0.1)
    assert high == pytest.approx(8.25 + 4, abs=0.1)
    rising = ridges.marks(places)
    assert np.isnan(rising[1])
    assert np.isnan(rising[2])


@pytest.mark.slow
def test_the_ridge_of_scouts_that_keep_relaxation_is_found_there() -> None:
    found = ridges.ridge(both().whole, both().scout)
    assert found.shifts[2, 1] == pytest.approx(2.0, abs=0.4)  # wd, its best
    assert sum(found.nearest) == 2
    same = ridges.ridge(both().whole, both().whole)
    assert same.nearest == (0, 0)
    assert np.nanmax(np.abs(same.shifts)) == 0


@pytest.mark.slow
def test_a_search_pays_for_its_scouts_and_only_a_whole_run_arrives() -> None:
    begin = Start({"lr": 1e-3, "momentum": 0.5, "wd": 0.01}, cost=0.5)
    for kind in (PLAIN, PLANS[3], PLANS[5], PLANS[6]):
        trace, count = searching.repetition(kind, begin, both(), 3)
        assert trace.cost == 0.5 + count / 4
        assert count == (0 if kind == PLAIN else count if kind.most is None else kind.most)
        assert kind == PLAIN or count > 1
        reached = trace.reached(both().whole.target(2))
        assert reached is not None
        assert reached >= trace.cost + 1


@pytest.mark.slow
def test_scouts_that_learn_nothing_leave_the_start_where_it_was() -> None:
    begin = {"lr": 1e-3, "momentum": 0.5, "wd": 0.01}
    for carried in TRANSFERS:
        found, count = searching.scouted(carried.to_scout(begin), both().scout, 0, most=1)
        assert count == 1
        assert carried.to_whole(found) == begin


def test_savings_are_paired_and_count_who_never_arrives() -> None:
    found = findings.saving([2.0, 4.0, 61.0], [3.0, 4.0, 5.0])
    assert (found.fewer, found.more) == (1, 1)
    assert found.difference.value == pytest.approx((1 + 0 - 56) / 3)
    assert found.never == (pytest.approx(1 / 3), 0.0)
    assert found.difference.low <= found.difference.value <= found.difference.high


def test_rank_correlation_of_known_pairs() -> None:
    pairs = [(float(n), float(n**3)) for n in range(30)]
    assert ranking.spearman(pairs).value == pytest.approx(1.0)
    assert ranking.spearman([(x, -y) for x, y in pairs]).high == pytest.approx(-1.0)


def searched(folder: Path, version: int, cost: float) -> list[dict[str, str]]:
    """Two seeds of every plan and start, made by this version of the search; plans with scouts cost so much more."""
    ground = grounds.key_on_file("digits", folder)
    found = []
    for kind, start in searching.asked("digits"):
        key = searching.key_of("digits", kind, start, ground, version)
        runs = 5 + cost * (kind != PLAIN)
        for seed in range(2):
            numbers = {f"runs_{target:g}": f"{runs + seed}" for target in searching.TARGETS}
            about = {"plan": kind.name, "start": start, "seed": str(seed), "key": key}
            found.append({**about, "scouts": "3", "cost": "0.75", "begins_at": "90", **numbers})
    return found


@pytest.mark.parametrize(
    ("cost", "said"), [(1.0, "they add to its cost"), (-1.0, "Scouts save"), (0.0, "they save nothing for sure")]
)
def test_the_verdict_is_that_of_the_rows(tmp_path: Path, cost: float, said: str) -> None:
    made = searched(tmp_path, findings.PRESENT, cost)
    rows.write(tmp_path / "digits_searches.csv", searching.FIELDS, made)
    evidence = findings.Evidence("digits", tmp_path)
    assert (evidence.version, evidence.left_out) == (findings.PRESENT, 0)
    assert text.state(evidence) == []
    lines = "\n".join(text.verdict(evidence))
    assert said in lines
    assert ("saves under 8 of 8 plans, 1.00 runs at most" in lines) == (cost < 0)


def test_searches_of_an_earlier_version_are_shown_as_such_and_never_mixed(tmp_path: Path) -> None:
    old, new = searched(tmp_path, 1, 1.0), searched(tmp_path, findings.PRESENT, 9.0)
    other = {**old[0], "key": "000000"}
    rows.write(tmp_path / "digits_searches.csv", searching.FIELDS, [*old, *new[:3], other])
    evidence = findings.Evidence("digits", tmp_path)
    assert (evidence.version, evidence.left_out) == (1, 4)
    assert evidence.runs(plan.MAIN.name, "source", 2.0) == [6.0, 7.0]
    said = " ".join(text.state(evidence))
    assert f"version 1's; the search is at version {findings.PRESENT}" in said
    assert "4 rows of another version" in said


def test_the_key_of_rows_on_file_is_that_of_their_surfaces(tmp_path: Path) -> None:
    cell = next(iter(DIGITS.all_cells()))
    found = [row(cell, seed, STEPS) for seed in (0, 1)]
    rows.write(tmp_path / "digits.csv", list(found[0]), found)
    kept = cells.read(DIGITS, tmp_path)
    assert grounds.key_on_file("digits", tmp_path, tmp_path) == " ".join([f"{kept.checksum}-{fitting.VERSION}"] * 2)


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    drawn = page.results(tmp_path, tmp_path)
    assert list(drawn) == ["README.md"]
    assert str(drawn["README.md"]).count(page.NOTHING) == len(plan.LATTICES)


def test_the_command_names_a_mistaken_key() -> None:
    with pytest.raises(ConfigError, match="lattices"):
        command.read(["lattices=digits"])
    with pytest.raises(ConfigError, match="change lattice"):
        command.read(["lattice=mnist"])
