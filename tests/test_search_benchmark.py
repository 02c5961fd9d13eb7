"""benchmarks/search: surfaces read right, boxes, the best 1 %, rows made once, statistics and tables from rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.search import __main__ as command
from benchmarks.search import (
    bars,
    cells,
    comparisons,
    lattice_surface,
    methods,
    page,
    pool,
    simulated,
    split,
    statistics,
    surfaces,
)
from benchmarks.search.split import AFTER, Condition
from benchmarks.search.statistics import Contender
from flatdirs.search.gp import Kernels

MODEL = "language_model"  # a surface that needs no file


def at(rate: float, averaging: float, decay: float) -> dict[str, float]:
    """Hyperparameters from powers of two."""
    return {"lr": 2.0**rate, "momentum": 1 - 2.0**averaging, "wd": 2.0**decay}


def table(cell: np.ndarray, name: str = "taskset_gru") -> simulated.Table:
    """A table over lr from 2⁻¹⁶ to 1, 1 − beta1 from 2⁻⁶ to 1 and wd from 2⁻²⁴ to 2⁻⁸, three cells an axis."""
    axes = tuple(np.array(axis) for axis in ([-16.0, -8, 0], [-6.0, -3, 0], [-24.0, -16, -8]))
    return simulated.Table(name, axes, cell, 1.0, "k")


def test_a_table_is_linear_inside_and_falls_outside() -> None:
    rising = table(np.add.outer(np.add.outer([0.0, 8, 16], [0.0, 3, 6]), [0.0, 0, 0]))
    found = rising.values(np.array([[-16, -6, -24], [-5, -1.5, -9], [0, 0, -8]]))
    assert found == pytest.approx([0.0, 15.5, 22.0])
    beyond = rising.values(np.array([[2, 0, -8], [0, 0.5, -8], [-18, 0, -8], [3, 1, 0]]))
    assert beyond == pytest.approx([20.0, 21.5, 4.0, 18.0]), "less the slope on the way out, whichever its sign"
    assert rising.best == 22.0


def test_boxes_widen_about_their_centre_and_stop_at_hard_limits() -> None:
    assert split.box("digits", "expert")["lr"] == (0.01, 1.0)
    assert split.box("digits", "twice")["lr"] == pytest.approx((1e-3, 10.0))
    assert split.box("digits", "four")["wd"] == pytest.approx((1e-7, 10.0))
    assert split.box("digits", "four")["one_minus_momentum"][1] == 1.0
    assert split.box("lc_7593_4d", "four")["lr"] == pytest.approx((1e-6, 0.1))
    assert split.box("lc_7593_4d", "four")["batch_size"] == (16, 512)
    for surface in split.TASK_OF:
        for name, width in split.SPLIT["widths"].items():
            begin = split.to_sides(split.start(surface, "usual"), split.names_of(surface))
            if width > 1 or surface != "alexnet":
                ends = split.box(surface, name)
                assert all(low <= begin[side] <= high for side, (low, high) in ends.items()), (surface, name)


def test_random_starts_lie_in_their_box() -> None:
    ends = split.box("lc_7593_4d", "expert")
    for seed in range(20):
        begin = split.start("lc_7593_4d", "random_expert", seed)
        assert begin["batch_size"] == int(begin["batch_size"])
        for side, value in split.to_sides(begin, list(begin)).items():
            assert ends[side][0] * 0.999 <= value <= ends[side][1] * 1.001


def test_the_best_one_percent_is_of_uniform_in_log_draws() -> None:
    slope = table(np.broadcast_to(np.array([-16.0, -8, 0])[:, None, None], (3, 3, 3)).copy())
    low, high = np.log2(split.box("taskset_gru", "expert")["lr"])
    assert surfaces.threshold(slope) == pytest.approx(low + 0.99 * (high - low), abs=0.01)


def test_no_task_is_on_both_sides_of_the_split() -> None:
    development, validation = split.SPLIT["development"], split.SPLIT["validation"]
    assert not set(development) & set(validation)
    tasks = [[surface.removesuffix("_3d").removesuffix("_4d") for surface in some] for some in split.TASKS.values()]
    assert all(len(set(some)) == 1 for some in tasks)
    assert len({some[0] for some in tasks}) == len(tasks)


def frames(ours: Sequence[float], theirs: Sequence[float]) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """One surface's regrets of two, in noises, the same after every number of runs."""
    one, other = (pd.DataFrame({count: list(some) for count in AFTER}) for some in (ours, theirs))
    return [(one, other)]


@pytest.mark.parametrize(
    ("ours", "theirs", "lost"),
    [
        ([10.3] * 20, [10.0] * 20, True),  # 3 % of ten noises: above 2 %, which is more than a tenth of a noise
        ([10.15] * 20, [10.0] * 20, False),
        ([1.08] * 20, [1.0] * 20, False),  # less than a tenth of a noise
        ([1.12] * 20, [1.0] * 20, True),
        ([1.0, 4.0] * 10, [2.2] * 20, False),  # worse by 14 %, and not surely
        ([1.0] * 20, [1.12] * 20, False),
    ],
)
def test_worse_means_surely_and_by_enough(ours: list[float], theirs: list[float], lost: bool) -> None:
    assert statistics.worse(frames(ours, theirs), 10) is lost


def made_up(folder: Path, regrets: dict[Contender, Sequence[float]], reached: Sequence[str] = ("3",)) -> None:
    """Rows of the language model with these regrets, in its units, after every number of runs; its facts."""
    facts = {"key": "k", "noise": 0.1, "best": -1.0, "threshold": -1.2, "usual": -1.5, "careless": -2, "large": -2}
    (folder / "rows").mkdir()
    (folder / "facts.json").write_text(json.dumps({MODEL: facts}))
    found = []
    for who, values in regrets.items():
        key = split.key(Condition(MODEL, *who), "k", "")
        for seed, value in enumerate(values):
            after = {f"regret_{count}": value for count in AFTER}
            found.append({**who._asdict(), "seed": seed, "key": key, "source": "", **after})
            found[-1]["reached"] = reached[seed % len(reached)]
    rows.write(folder / "rows" / f"{MODEL}.csv", list(found[0]), [*found, {**found[0], "seed": 99, "key": "old"}])


def test_tables_come_from_the_rows(tmp_path: Path) -> None:
    regrets = {comparisons.OURS: [0.2] * 4, comparisons.TPE: [0.3, 0.5] * 2, comparisons.KEEP: [1e-9] * 4}
    made_up(tmp_path, regrets, ["3", ""])
    evidence = statistics.Evidence(tmp_path)
    summary = comparisons.summary(evidence, [MODEL]).set_index("flatdirs over")
    assert summary.loc["TPE", "after 10"] == "0.50 [0.50, 0.50]"
    assert summary.loc["keep the start", "after 5"] == "40.00 [40.00, 40.00]", "regrets end at 0.05 of a noise"
    assert summary.loc["TPE", "worse in"] == "0 of 4"
    assert summary.loc["keep the start", "worse in"] == "4 of 4"
    assert evidence.never([MODEL], comparisons.OURS)[MODEL] == 50.0
    met = bars.bars(evidence, [MODEL]).set_index("bar")["met"]
    assert met["over TPE after 10 runs at most 0.6, upper end below 0.85"]
    assert not met["never among the best 1 %: at most 5 % overall"]
    assert page.values(tmp_path)["validation_summary"] == "Not looked at yet."


def test_the_better_rival_is_picked_on_other_seeds_than_it_is_compared_on(tmp_path: Path) -> None:
    lucky = [0.1, 0.9] * 5  # better than TPE on even seeds alone
    made_up(tmp_path, {comparisons.OURS: [0.3] * 10, comparisons.TPE: [0.2] * 10, comparisons.GP: lucky})
    evidence = statistics.Evidence(tmp_path)
    rivals = comparisons.TPE, comparisons.GP
    found = statistics.against_the_better(evidence, [MODEL], comparisons.OURS, rivals)
    assert set(found["other"]) == {"gp"}
    assert found["ratio"].to_list() == pytest.approx([1 / 3] * 4)


@pytest.mark.parametrize("name", ["random", "tpe", "cmaes", "flatdirs", "keep"])
@pytest.mark.parametrize("start", ["usual", "careless", "random_four"])
def test_methods_begin_at_the_start_and_stay_in_their_box(name: str, start: str) -> None:
    box = "none" if name == "keep" or (name == "flatdirs" and start != "usual") else "expert"
    condition, begin = Condition(MODEL, name, box, start), split.start(MODEL, start, 3)

    def run() -> list[dict[str, float]]:
        method, measure, points = methods.make(condition, begin, 3), surfaces.named(MODEL).begin(3), []
        for _ in range(14):
            point, replicate = method.ask()
            points.append(dict(point))
            method.tell(measure(point, replicate))
        assert method.handed_over() in points
        return points

    points = run()
    assert points[0] == begin
    assert points == run()
    ends = split.box(MODEL, "expert") if box == "expert" else split.limits(MODEL)
    for side, (low, high) in ends.items():
        assert all(low * (1 - 1e-9) <= point[side] <= high * (1 + 1e-9) for point in points[1:])


def test_the_ablation_takes_parts_that_the_search_has() -> None:
    told = [settings["kernels"] for settings in split.OURS.values() if "kernels" in settings]
    assert set(told) <= set(get_args(Kernels))
    for name in split.OURS:
        methods.make(Condition("taskset_gru", name, "none", "usual"), split.start("taskset_gru", "usual"), 0)


def test_a_pool_gives_each_run_once_and_every_method_is_told_its_true_place(tmp_path: Path) -> None:
    generator, names = np.random.default_rng(0), ["learning_rate", "momentum", "weight_decay", "batch_size"]
    made = {"learning_rate": [f"{x:.6g}" for x in 10.0 ** generator.uniform(-2, 1, 40)]}
    made |= {"weight_decay": [f"{x:.6g}" for x in 10.0 ** generator.uniform(-6, -3, 40)]}
    made |= {"momentum": [f"{x:.4f}" for x in generator.uniform(0.7, 0.99, 40)], "batch_size": ["128", "512"] * 20}
    made |= {"top_1": [f"{x:.2f}" for x in generator.uniform(1, 60, 40)], "nan_train_loss": ["0", "0", "0", "1"] * 10}
    rows.write(tmp_path / "p.csv", [*names, "top_1", "nan_train_loss"], pd.DataFrame(made).to_dict("records"))
    runs = pool.read(tmp_path / "p.csv", 0.2)
    for name in ("tpe", "flatdirs", "random", "cmaes"):
        condition = Condition("alexnet", name, "expert", "usual")
        method, run, told = methods.make(condition, split.start("alexnet", "usual"), 0), runs.begin(0), []
        for _ in range(20):
            told.append(run(*method.ask()))
            method.tell(told[-1])
        taken = [runs.points.index(one.hyperparameters) for one in told]
        assert len(set(taken)) == 20
        assert all(one.diverged == (index % 4 == 3) for one, index in zip(told, taken, strict=True))
        finished = [one.true for one in told if not one.diverged]
        assert simulated.value(runs, method.handed_over()) in finished
        if name == "tpe":
            seen = [trial.params["lr"] for trial in method.study.trials if trial.state.name == "COMPLETE"]
            assert seen == [one.hyperparameters["lr"] for one in told]


@pytest.mark.slow
def test_rows_that_are_missing_or_stale_are_made_again_as_they_were(tmp_path: Path) -> None:
    arguments = [f"folder={tmp_path}", f"surface={MODEL}", "only=random,keep,flatdirs", "box=none,expert"]
    arguments += ["start=usual", "seeds=2", "draw=false"]
    assert command.main(arguments) == 0
    path = tmp_path / "rows" / f"{MODEL}.csv"
    made = rows.read(path)
    assert len(made) == 2 * 4
    rows.write(path, list(made[0]), [{**made[0], "key": "old"}, *made[2:]])
    assert command.main(arguments) == 0
    assert rows.read(path) == made
    earlier = [{**row, "key": "old", "source": "old"} if row["method"] == "flatdirs" else row for row in made]
    for changed in ({}, {"regret_40": "1e-9"}):
        rows.write(path, list(made[0]), [{**row, **(changed if row["key"] == "old" else {})} for row in earlier])
        command.stay(MODEL, tmp_path)
        assert (rows.read(path) == made) is not bool(changed)
    assert command.main([*arguments, "unchanged=true"]) == 0
    assert rows.read(path) == made
    assert not (tmp_path / "looked.csv").exists()


def test_validation_is_made_only_when_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"folder={tmp_path}", "surface=digits_long"]) == 2
    assert "validation=true" in capsys.readouterr().err
    settings = {**command.KEYS, "surface": []}
    assert not set(command.chosen(settings)) & set(command.VALIDATION)
    assert command.chosen({**settings, "replay": "alexnet"}) == ["alexnet"]
    command.note(tmp_path, ["alexnet"])
    command.note(tmp_path, ["alexnet"])
    assert [row["surfaces"] for row in rows.read(tmp_path / "looked.csv")] == ["alexnet"]


@pytest.mark.slow
def test_the_fit_follows_plateaus_and_cliffs() -> None:
    """A ridge along lr·wd/(1 − momentum) = 2⁻⁹ between guesses; beyond lr/(1 − momentum) = 8 a run diverges."""

    def truth(rate: float, averaging: float, decay: float) -> float:
        return 10 + (95 - 10) * math.exp(-(((rate + decay - averaging + 9) / 4) ** 2))

    lattice, found = lattices.named("digits"), []
    for place in np.ndindex(10, 5, 5, 2):
        cell = (2 * place[0] - 14, 2 * place[1] - 8, 3 * place[2] - 16)
        accuracy = truth(*cell) + 0.3 * math.sin(1000 * place[3] + 7 * cell[0] + 5 * cell[1] + 3 * cell[2])
        powers = {f"log2_{rows.column(axis)}": str(power) for axis, power in zip(lattice.axes, cell, strict=True)}
        measured = {"accuracy": f"{accuracy:.2f}", "loss": f"{2.5 - accuracy / 50:.4g}"}
        found.append({**powers, "seed": str(place[3]), **measured, "diverged": str(int(cell[0] - cell[1] > 3))})
    ground = lattice_surface.build(cells.from_rows(lattice, found))
    between = [(a - 14, b - 8, c - 16) for a, b, c in np.ndindex(14, 8, 14) if a % 2 and b % 2 and c % 2]
    off = [ground.value(at(*cell)) - truth(*cell) for cell in between if cell[0] - cell[1] < 2]
    assert math.sqrt(np.mean(np.square(off))) < 2.0
    assert abs(ground.best - 95) < 1.0
    assert max(ground.value(at(rate, -1, -15)) for rate in np.arange(-14, -8, 0.3)) < 12
    steps = sorted(np.abs(np.diff([ground.value(at(rate, -2, -11)) for rate in np.arange(0, 4, 0.05)])))
    assert (steps[-1] > 40, steps[-2] < 5) == (True, True), "one jump"
    assert ground.value(at(-3, -12, -30)) == ground.value(at(-3, -8, -16)), "outside as on the edge"


@pytest.mark.slow
def test_a_lattice_judged_by_its_loss_is_fitted_too() -> None:
    lattice, generator, found = lattices.named("text"), np.random.default_rng(0), []
    for place in np.ndindex(8, 3, 6, 2):
        cell = (2 * place[0] - 14, 2 * place[1] + 2, 2 * place[2] - 7)
        loss = 1.5 + 0.02 * (cell[0] + 8) ** 2 + 0.01 * (cell[1] - 4) ** 2 + 0.01 * generator.standard_normal()
        powers = {f"log2_{rows.column(axis)}": str(power) for axis, power in zip(lattice.axes, cell, strict=True)}
        found.append({**powers, "seed": str(place[3]), "accuracy": "50", "loss": f"{loss:.5g}", "diverged": "0"})
    surface = lattice_surface.build(cells.from_rows(lattice, found))
    assert surface.best == pytest.approx(-1.5, abs=0.02)
    point = {"lr": 2.0**-6, "batch_size": 16, "wd": 1.0}
    assert surface.value(point) == pytest.approx(-1.58, abs=0.02)
    samples = [surface.observe(point, generator, 0.0).value for _ in range(200)]
    assert 0.004 < np.std(samples) < 0.03


@pytest.mark.slow
def test_noise_is_that_of_real_runs_and_in_images() -> None:
    point, generator, ground = at(-3, -3, -9), np.random.default_rng(0), lattice_surface.named("digits")
    samples = [ground.observe(point, generator, 0.0) for _ in range(500)]
    accuracies = [sample.value for sample in samples]
    assert all(abs(accuracy * 10 - round(accuracy * 10)) < 1e-6 for accuracy in accuracies)
    assert 0.2 < np.std(accuracies) < 1.5
    assert np.mean(accuracies) == pytest.approx(ground.value(point), abs=0.2)
    assert np.corrcoef(accuracies, [math.log(sample.loss or 1) for sample in samples])[0, 1] < 0
