"""benchmarks/runs_to_target: a fit that keeps plateaus and cliffs, searches driven right, rows made once, bars."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.lattice.lattices import Cell
from benchmarks.runs_to_target import __main__ as command
from benchmarks.runs_to_target import (
    bars,
    baselines,
    cells,
    conditions,
    duels,
    losses,
    methods,
    page,
    real,
    real_table,
    repeating,
    surface,
)
from benchmarks.runs_to_target.conditions import NONE, Condition
from benchmarks.runs_to_target.findings import NEVER, Evidence, curve, summary, versus
from benchmarks.runs_to_target.repeating import Job, Trace
from benchmarks.runs_to_target.surface import Sample, Surface
from flatdirs.objectives.base import Measurement
from flatdirs.search import Outcome, Question, Verdict
from flatdirs.tuning.start import TIMESCALE, automatic_start

DIGITS = lattices.named("digits")
TOP = 95.0


def truth(cell: Cell) -> float | None:
    """A ridge along lr·wd/(1−momentum) = 2⁻⁹ that falls to guessing on both sides; None, divergence, beyond lr/(1−momentum) = 8."""
    rate, averaging, decay = cell
    if rate - averaging > 3:
        return None
    return 10 + (TOP - 10) * math.exp(-(((rate + decay - averaging + 9) / 4) ** 2))


def row(cell: Cell, seed: int) -> dict[str, str]:
    """A row of the lattice's file."""
    value = truth(cell)
    noise = 0.3 * math.sin(1000 * seed + 7 * cell[0] + 5 * cell[1] + 3 * cell[2])
    accuracy = 10.0 if value is None else min(value + noise, 100.0)
    loss = math.nan if value is None else 2.3 - 2 * (accuracy - 10) / 90
    return {
        **{f"log2_{axis.name}": str(power) for axis, power in zip(DIGITS.axes, cell, strict=True)},
        "seed": str(seed),
        "accuracy": f"{accuracy:.2f}",
        "loss": f"{loss:.4g}",
        "diverged": str(int(value is None)),
        "train_loss_curve": f"2.3;{0.9 * loss:.4g}",
    }


@lru_cache
def ground() -> Surface:
    """The surface of a third of the lattice's cells, two seeds each."""
    tried = [c for c in DIGITS.all_cells() if c[0] % 2 == 0 and c[1] % 2 == 0 and c[2] % 3 == 0]
    found = cells.from_rows(DIGITS, [row(cell, seed) for cell in tried for seed in (0, 1)])
    return surface.build(found, DIGITS.recipe)


def at(rate: float, averaging: float, decay: float) -> dict[str, float]:
    """Hyperparameters from powers of two."""
    return {"lr": 2.0**rate, "momentum": 1 - 2.0**averaging, "wd": 2.0**decay}


@pytest.mark.slow
def test_the_fit_follows_the_truth_between_the_cells() -> None:
    between = [c for c in DIGITS.all_cells() if all(power % 2 for power in c) and truth(c) is not None and c[0] < 2]
    off = [ground().value(at(*cell)) - (truth(cell) or 0) for cell in between if cell[0] - cell[1] < 2]
    assert math.sqrt(np.mean(np.square(off))) < 2.0
    assert abs(ground().best - TOP) < 1.0


@pytest.mark.slow
def test_a_plateau_stays_flat_and_a_cliff_a_cliff() -> None:
    plateau = np.array([(rate, -1, -15) for rate in np.arange(-14, -8, 0.3)])
    assert max(ground().values(plateau)) < 12
    below, above = ground().value(at(0, -2, -11)), ground().value(at(3, -2, -14))
    assert below > 90
    assert above == 10.0
    values = ground().values(np.array([(rate, -2, -11) for rate in np.arange(0, 4, 0.05)]))
    steps = np.abs(np.diff(values))
    assert sorted(steps)[-1] > 40, "one jump"
    assert sorted(steps)[-2] < 5


def test_outside_the_lattice_is_what_its_edge_is() -> None:
    assert ground().value(at(-20, -3, -7)) == ground().value(at(-14, -3, -7))
    assert ground().value(at(-3, -12, -30)) == ground().value(at(-3, -8, -16))
    assert ground().value({"lr": 0.0, "momentum": 0.0, "wd": 1.0}) == ground().value(at(-14, 0, -2))


def test_values_of_many_places_are_those_of_each() -> None:
    places = np.random.default_rng(0).uniform((-16, -9, -18), (7, 0, 0), (50, 3))
    assert ground().values(places) == pytest.approx([ground().value(at(*place)) for place in places])


def test_noise_is_that_of_real_runs_and_whole_images() -> None:
    point, generator = at(-4, -4, -9), np.random.default_rng(0)
    samples = [ground().observe(point, generator) for _ in range(500)]
    assert all(abs(sample.accuracy * 10 - round(sample.accuracy * 10)) < 1e-6 for sample in samples)
    assert 0.05 < np.std([sample.accuracy for sample in samples]) < 0.6
    assert np.mean([sample.accuracy for sample in samples]) == pytest.approx(ground().value(point), abs=0.2)
    falling = np.corrcoef([s.accuracy for s in samples], [math.log(s.loss or 1) for s in samples])[0, 1]
    assert falling < -0.5, "accuracy and loss of a run belong together"


def test_a_seed_has_as_much_luck_elsewhere_as_was_measured() -> None:
    residuals = np.random.default_rng(0).standard_normal((300, 3))
    spread = cells.Spread(np.full(300, 50.0), residuals, (0.0, 0.2, 0.8), (99, 99, 99))
    generator, pairs = np.random.default_rng(1), []
    for _ in range(2000):
        one, other, luck = generator.standard_normal(3)
        pairs.append([spread.draw(50.0, own, luck)[0] for own in (one, other)])
    assert np.corrcoef(np.array(pairs).T)[0, 1] == pytest.approx(0.8, abs=0.05)
    assert spread.draw(0.0, 1.0, -3.0)[0] == spread.draw(0.0, 1.0, 3.0)[0], "none on the ridge"


def test_shared_luck_is_measured_from_pairs_of_cells() -> None:
    """Cells of one band: seed 0 is a point above seed 1 in all of them, or above in one and below in the next."""
    concert = [np.array([[50.0, 0, 0], [49.0, 0, 0]]) for _ in range(20)]
    turns = [np.array([[50.0, 0, 0], [49.0 + 2 * (n % 2), 0, 0]]) for n in range(20)]
    places = np.array([[n % 4, 0.0, 0.0] for n in range(20)])
    assert [part for part, _ in cells._luck(places, concert, 90.0)] == [0.0, 0.0, 1.0]
    assert [part for part, _ in cells._luck(places, turns, 90.0)] == [0.0, 0.0, 0.0]


def test_outcomes_are_what_the_objective_gives() -> None:
    diverged = ground().outcome(ground().observe(at(5, -8, -9), np.random.default_rng(0)))
    assert (diverged.state, diverged.loss) == ("diverged", None)
    guess = ground().outcome(Sample(12.0, 2.3, 2.3, False))
    assert guess == Outcome("finished", 12.0, 2.3, True)
    assert ground().outcome(Sample(13.0, 2.3, 2.3, False)).at_chance is False


def test_a_fit_is_built_again_from_what_is_noted(tmp_path: Path) -> None:
    write_lattice(tmp_path)
    first = surface.named("digits", tmp_path, tmp_path)
    surface.named.cache_clear()
    again = surface.named("digits", tmp_path, tmp_path)
    assert np.allclose(first.grid, again.grid, atol=1e-6)
    assert first.key == again.key


def asks(questions: list[Question]) -> type:
    """A search that asks these questions and keeps the best."""

    def search(lattice: object, rules: object) -> object:
        best = (-math.inf, (0, 0, 0))
        for question in questions:
            outcome = yield question
            best = max(best, (outcome.value, question.point))
            yield Verdict("better", best[1])
        return best[1]

    return search  # type: ignore[return-value]


def question(*point: int, repeat: int = 0) -> Question:
    """A question about a point."""
    return Question(point, None, "", None, 0, "", repeat)


def test_a_question_asked_again_is_free_and_a_repeat_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [question(0, 0, 0), question(1, 0, 0), question(0, 0, 0), question(0, 0, 0, repeat=1), question(1, 0, 0)]
    monkeypatch.setitem(methods.SEARCHES, "asker", asks(asked))
    method = methods.Own("asker", ground(), at(-4, -4, -9))
    accuracies, points = iter((50.0, 40.0, 60.0)), []
    while (point := method.ask()) is not None:
        points.append(point)
        method.tell(Sample(next(accuracies), 1.0, 1.0, False))
    assert [point["lr"] for point in points] == [2.0**-4, 2.0**-3, 2.0**-4]
    assert method.returned == at(-4, -4, -9)


def test_myrtle_is_driven_to_its_end() -> None:
    trace = repeating.repetition(Condition("digits", "myrtle", NONE, "typical"), ground(), 0, True, Path())
    assert trace.stopped
    assert trace.reached(ground().target(2)) is not None
    assert trace.after(60) == trace.returned[-1]
    assert len(trace.values) == len(trace.returned) <= 60


def test_a_search_that_is_not_here_is_said_to_be_missing() -> None:
    with pytest.raises(methods.Unavailable, match="no search nobody"):
        methods.Own("nobody", ground(), at(-4, -4, -9))


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "tpe_chart", "cmaes"])
def test_baselines_stay_in_their_box_and_repeat_themselves(name: str) -> None:
    box = conditions.box("digits", "expert")
    start = at(5, -7, -16)

    def run() -> list[Mapping[str, float]]:
        begin = None if name == "tpe_chart" else start
        method, found, noise = baselines.make(name, ground(), box, begin, 3), [], np.random.default_rng(0)
        for _ in range(15):
            point = method.ask()
            assert point is not None
            found.append(point)
            method.tell(ground().observe(point, noise))
        assert method.returned in found
        return found

    points = run()
    assert points == run()
    for name_, (low, high) in box.items():
        key = name_.removeprefix("one_minus_")
        values = [1 - point[key] if key != name_ else point[key] for point in points]
        assert all(low * (1 - 1e-9) <= value <= high * (1 + 1e-9) for value in values)
    if name != "tpe_chart":
        assert points[0]["lr"] == pytest.approx(box["lr"][1]), "the start, clipped"


def test_the_box_in_coordinates_holds_the_raw_one() -> None:
    axes = baselines.Axes(ground().chart, conditions.box("digits", "expert"))
    space, back = baselines.in_coordinates(axes)
    for corner in np.ndindex(2, 2, 2):
        sides = {name: pair[index] for index, (name, pair) in zip(corner, axes.box.items(), strict=True)}
        found = baselines.coordinates(axes, sides)
        assert all(space[name][0] * 0.999 <= value <= space[name][1] * 1.001 for name, value in found.items())
        assert axes.sides(back(found)) == pytest.approx(sides)


def test_probes_are_paid_for(tmp_path: Path) -> None:
    write_lattice(tmp_path)
    probes = tmp_path / "probes.csv"
    found = conditions.start("digits", "auto", 0, probes)
    assert found.hyperparameters == automatic_start(0.05, 360, "momentum")
    assert found.cost == 0.5
    none = conditions.start("digits", "auto", 21, probes)
    assert none.hyperparameters == conditions.start("digits", "typical", 0).hyperparameters
    assert none.cost == 0.25


def test_an_automatic_start_that_changed_raises_a_number() -> None:
    """Rows depend on it; whoever changes it raises conditions.AUTOMATIC, and writes the new numbers here."""
    found = automatic_start(0.05, 360, "momentum")
    assert (conditions.AUTOMATIC, found) == (2, {"lr": 0.09, "momentum": 0.9, "wd": 0.0031})


def test_counts_and_returned_points_include_the_probes() -> None:
    trace = Trace(0.75, 20.0, [30.0, 50.0, 40.0], [30.0, 50.0, 50.0], True)
    assert trace.reached(50.0) == 2.75
    assert trace.reached(51.0) is None
    assert [trace.after(count) for count in (1, 2, 3, 60)] == [20.0, 30.0, 50.0, 50.0]
    assert replace(trace, stopped=False).after(60) is None


def write_lattice(folder: Path) -> None:
    """A small lattice and two probes, one without an answer."""
    tried = [c for c in DIGITS.all_cells() if c[0] % 3 == 0 and c[1] % 4 == 0 and c[2] % 4 == 0]
    found = [row(cell, seed) for cell in tried for seed in (0, 1)]
    rows.write(folder / "digits.csv", list(found[0]), found)
    probes = [
        {"lattice": "digits", "seed": "0", "log_midpoint": "0.05", "cost_steps": "180.0", "run_steps": "360"},
        {"lattice": "digits", "seed": "1", "log_midpoint": "", "cost_steps": "90.0", "run_steps": "360"},
    ]
    rows.write(folder / "probes.csv", list(probes[0]), probes)


@pytest.mark.slow
def test_rows_are_made_once_and_again_where_they_are_stale(tmp_path: Path) -> None:
    measured, folder = tmp_path / "lattice", tmp_path / "rows"
    folder.mkdir()
    measured.mkdir()
    write_lattice(measured)
    job = Job("digits", folder, measured, only=("myrtle", "random", "nobody"), seeds=3)
    said: list[str] = []
    repeating.run(job, said.append)
    text = job.path.read_text(encoding="utf-8")
    assert len(rows.read(job.path)) == 3 * (6 + 2 + 12)
    assert not [line for line in said if "skipped" in line]
    repeating.run(job, said.append)
    assert job.path.read_text(encoding="utf-8") == text
    assert len(said) == 6 + 2 + 12
    found = rows.read(job.path)
    kept = [row for row in found if (row["method"], row["start"], row["seed"]) != ("myrtle", "good", "1")]
    stale = [{**row, "key": "old"} if row["method"] == "random" else row for row in kept]
    rows.write(job.path, repeating.FIELDS, stale)
    repeating.run(job, said.append)
    again = rows.read(job.path)
    for one, other in zip(found, again, strict=True):
        assert {**one, "overhead_ms": ""} == {**other, "overhead_ms": ""}
    draw_partial(folder, measured)


def draw_partial(folder: Path, measured: Path) -> None:
    """The page of rows that lack most of what there should be."""
    drawn = page.results(folder, measured)
    assert set(drawn) == {"README.md", "digits.md", "digits.png"}
    text = str(drawn["README.md"])
    assert "Not all of it is measured" in text
    assert text.count(page.NOTHING) == len(conditions.settings()["lattices"]), "the other lattices, and real training"
    assert "`myrtle`" in text
    evidence = Evidence("digits", folder, measured)
    assert {bar.met for bar in bars.bars(evidence)} <= {None}


@pytest.mark.slow
def test_real_training_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    measured, folder = tmp_path / "lattice", tmp_path / "rows"
    folder.mkdir()
    measured.mkdir()
    write_lattice(measured)
    trained: list[tuple[float, int]] = []

    def train(point: Mapping[str, float], seed: int, limit: int | None) -> Measurement:
        if len(trained) == limit:
            raise KeyboardInterrupt
        trained.append((point["lr"], seed))
        epoch = {"number": 1, "train_loss": 0.5, "loss": 0.5, "accuracy": 50.0, "seconds": 1.0, "seed": seed}
        value = ground().value(point)
        return Measurement("finished", value, 0.5, False, 1.0, (epoch,), {})

    def job(limit: int | None) -> real.Job:
        return real.Job("digits", lambda point, seed: train(point, seed, limit), folder, measured, ("myrtle", "tpe"))

    with pytest.raises(KeyboardInterrupt):
        real.run(job(20), lambda line: None)
    assert len(rows.read(folder / "real.csv")) == 20
    real.run(job(None), lambda line: None)
    found = rows.read(folder / "real.csv")
    assert len(found) == len(trained)
    assert len({tuple(row[name] for name in ("method", "box", "seed", "kind", "run")) for row in found}) == len(found)
    searched = {row["seed"] for row in found if row["kind"] == "search" and row["method"] == "tpe"}
    assert searched == {"0", "1", "2", "3", "4"}
    repeating.run(Job("digits", folder, measured, only=("myrtle",), seeds=1), lambda line: None)
    text = str(page.results(folder, measured)["README.md"])
    assert "| `tpe` | expert | - | 5 |" in text


def test_a_page_without_rows_says_so(tmp_path: Path) -> None:
    text = str(page.results(tmp_path, tmp_path)["README.md"])
    assert text.count(page.NOTHING) >= 4


def evidence_of(monkeypatch: pytest.MonkeyPatch, runs: Mapping[tuple[str, str, str], list[float]]) -> Evidence:
    """Evidence with these runs to every target."""
    found = Evidence("digits", Path("nowhere"), Path("nowhere"))
    groups = {
        found.of(*parts): [
            {"seed": str(seed), **{f"runs_{t:g}": "" if n > 60 else str(n) for t in (2.0, 1.0, 0.5)}}
            for seed, n in enumerate(values)
        ]
        for parts, values in runs.items()
    }
    volumes = {"expert": {"2": 9.0, "1": 3.0, "0.5": 0.1}, "ignorant": {"2": 1.0, "1": 0.5, "0.5": 0.01}}
    vars(found).update(groups=groups, entry={"facts": {"volumes": volumes}})
    return found


def test_bars_are_met_missed_or_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {
        ("flatdirs", NONE, "auto"): [4.0, 4.0, 5.0],
        ("flatdirs", NONE, "source"): [13.0, 13.0, 61.0],
        ("tpe", "ignorant", NONE): [12.0, 13.0, 14.0],
        ("tpe", "expert", NONE): [6.0, 7.0, 8.0],
        ("cmaes", "ignorant", "auto"): [8.0, 8.0, 8.0],
    }
    found = list(bars.bars(evidence_of(monkeypatch, runs)))
    assert {bar.target for bar in found} == {1.0}, "the one that fills enough of the expert's box, and not too much"
    by = {(bar.start, bar.claim): bar.met for bar in found}
    assert by["auto", "median ≤ 1/3 of tpe's, ignorant box"] is True
    assert by["auto", "median ≤ 1/2 of tpe's, expert box"] is False
    assert by["auto", "median ≤ 1/2 of cmaes's, ignorant box"] is True
    assert by["auto", "median ≤ the whole of cmaes's, expert box"] is None
    assert by["auto", "median ≤ 5"] is True
    assert by["source", "median ≤ 12"] is False
    assert by["source", "median < tpe's, ignorant box"] is False
    assert by["good", "median ≤ 1/3 of tpe's, ignorant box"] is None
    assert by["all", "not arrived within 60: ≤ 1 % of repetitions"] is False
    assert bars.never(evidence_of(monkeypatch, runs), 1.0) == [("source", [2])]


def test_where_another_method_needs_fewer_runs_is_told_whole_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {
        ("flatdirs", NONE, "auto"): [4.0] * 8,
        ("flatdirs", NONE, "source"): [20.0] * 8,
        ("cmaes", "expert", "source"): [1.0] * 8,
        ("myrtle", NONE, "source"): [19.0, *[20.0] * 3, *[19.0] * 4],
        ("random", "ignorant", NONE): [4.0] * 8,
        ("tpe", "ignorant", NONE): [61.0] * 8,
    }
    evidence = evidence_of(monkeypatch, runs)
    found = losses.behind(evidence)
    assert {(one.start, one.own, one.clipped) for one in found} == {("source", 20.0, True)}
    assert [(rival.name, rival.median, rival.sure) for rival in found[0].rivals] == [
        ("`cmaes`, expert box", 1.0, True),
        ("`random`, ignorant box", 4.0, True),
        ("`myrtle`", 19.0, False),
    ]
    table = "\n".join(losses.behind_table([evidence]))
    assert "In 3 of 6 cases" in table
    assert "| digits | 1 % | source | 20 | `cmaes`, expert box 1*; `random`, ignorant box 4*; `myrtle` 19 |" in table
    (short,) = losses.fewer_elsewhere([evidence])
    assert "3 of 6 on digits" in short
    assert "20 runs against 1 (`cmaes`, expert box) from source on `digits`" in short
    (random,) = losses.random_as_quick([evidence])
    assert "`digits` to 1 % in the ignorant box (4 against 4)" in random


def test_no_loss_is_claimed_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of(monkeypatch, {("flatdirs", NONE, "auto"): [4.0, 4.0], ("tpe", "expert", NONE): [5.0, 5.0]})
    assert losses.fewer_elsewhere([evidence]) == [
        "In none of 3 cases (lattice, target, start) does another method need fewer runs."
    ]
    assert losses.random_as_quick([evidence]) == []
    assert duels.raw_sentence([evidence]) == []


def test_raw_against_myrtle_is_counted_case_by_case(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {
        **{("myrtle", NONE, start): [5.0] * 8 for start in ("source", "good", "typical")},
        **{("raw", NONE, start): [n] * 8 for start, n in (("source", 6.0), ("good", 4.0), ("typical", 5.0))},
    }
    evidence = evidence_of(monkeypatch, runs)
    assert [one.winner for one in duels.duels(evidence)[:3]] == ["myrtle", None, "raw"]
    (said,) = duels.raw_sentence([evidence])
    assert "it needs more runs in 3 of 9 cases, fewer in 3 (digits to 2 % from good," in said
    assert "cannot be told apart in 3" in said


def test_a_best_outside_the_expert_box_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of(monkeypatch, {("flatdirs", NONE, "auto"): [4.0]})
    evidence.facts["outside"] = {"expert": {}, "ignorant": {}}
    assert losses.handicapped([evidence]) == []
    evidence.facts["outside"] = {"expert": {"lr": [0.06, 0.001, 0.03]}}
    assert "lr 0.06, the box ends at 0.03" in losses.handicapped([evidence])[0]


def test_a_fit_that_is_less_sure_than_a_target_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of(monkeypatch, {("flatdirs", NONE, "auto"): [4.0]})
    assert evidence.entry is not None
    evidence.facts["best"], percent = 98.0, min(evidence.counted)
    gap = 98.0 * percent / 100
    for off, count in ((0.9 * gap, 0), (1.1 * gap, 1)):
        evidence.entry["errors"] = {"near": math.hypot(off, 0.5), "near_noise": 0.5}
        said = losses.unsure([evidence])
        assert len(said) == count
    assert f"{gap:.2f} for {percent:g} %" in said[0]


def test_equal_columns_of_the_timescale_are_said_to_be_capped() -> None:
    assert float(page.CHOSEN) == TIMESCALE
    names = ["0.5", "1", "2"]
    known = {"one": {"0.5": [1.0, 1.0], "1": [2.0, 2.0], "2": [2.0, 2.0]}, "other": {n: [float(n), 1.0] for n in names}}
    (said,) = page.capped(known, names)
    assert "On one all columns from 1 on are equal" in said
    assert "nothing above the chosen 1 is tried" in said


def real_row(condition: Condition, key: str, seed: int, kind: str, run: int, accuracy: float) -> dict[str, str]:
    """A row of real.csv, as far as it is read."""
    about = {"lattice": "digits", "method": condition.method, "box": condition.box, "start": condition.start}
    return {**about, "key": key, "seed": str(seed), "kind": kind, "run": str(run), "accuracy": f"{accuracy}"}


def test_what_real_training_returned_is_compared_and_rows_of_another_search_are_left_out(tmp_path: Path) -> None:
    write_lattice(tmp_path)
    evidence = Evidence("digits", tmp_path, tmp_path)
    vars(evidence).update(entry={"facts": {"best": 97.0}})
    found = []
    for method, start, value, known in (
        ("flatdirs", "auto", 90.0, True),
        ("raw", "auto", 95.0, True),
        ("myrtle", "auto", 99.0, False),
    ):
        condition = evidence.of(method, NONE, start)
        key = conditions.key(condition, "real", tmp_path / "probes.csv") if known else "old"
        for seed in (0, 1):
            found += [real_row(condition, key, seed, "search", run, value) for run in (1, 2)]
            found += [real_row(condition, key, seed, "confirm", run, value + seed) for run in (1, 2, 3)]
    rows.write(tmp_path / "real.csv", list(found[0]), found)
    (said,) = real_table.real_losses([evidence])
    assert "what it returned after 25 runs reached 90.50 ± 0.50 %" in said
    assert "1 of 1 others returned more, `raw` the most with 95.50 ± 0.50 % (1 of them" in said
    assert "left out: `myrtle`" in "\n".join(real_table.real_table(evidence))


def test_repetitions_that_ended_early_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [float(n) for n in range(100)]
    evidence = evidence_of(monkeypatch, {("tpe", "expert", NONE): whole, ("random", "expert", NONE): whole})
    vars(evidence).update(stale=False)
    for condition, some in evidence.groups.items():
        for one in some:
            one["complete"] = str(int(condition.method == "random"))  # type: ignore[index]
    said = " ".join(page.gaps(evidence))
    assert "Repetitions of `tpe` ended at the tightest target" in said


def test_never_counts_in_medians_tests_and_curves() -> None:
    found = summary([1.0, NEVER, NEVER])
    assert (found.median, found.never) == (NEVER, pytest.approx(2 / 3))
    against = versus({0: 1.0, 1: NEVER, 2: 5.0}, {0: NEVER, 1: NEVER, 2: 6.0, 3: 1.0})
    assert against is not None
    assert (against.fewer, against.more) == (2, 0)
    across, up = curve({0: 2.0, 1: NEVER})
    assert (max(up), across[-1]) == (0.5, 60.0)


def test_every_condition_is_there_once() -> None:
    every = list(conditions.conditions("digits"))
    assert len(every) == len(set(every))
    assert Condition("digits", "tpe", "expert", NONE) in every
    assert Condition("digits", "tpe+start", "ignorant", "auto") in every
    assert Condition("digits", "cmaes", "expert", NONE) not in every
    assert conditions.repetitions(Condition("digits", "gp+start", "expert", "auto")) == 10
    for lattice in conditions.settings()["lattices"]:
        for name in ("source", "careless_low", "careless_high", "typical", "good"):
            assert set(conditions.start(lattice, name, 0).hyperparameters) == {
                axis.hyperparameter for axis in lattices.named(lattice).axes
            }


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["onyl=tpe"]) == 2
    assert command.main(["lattice=mnist"]) == 2
    assert "change lattice" in capsys.readouterr().err
