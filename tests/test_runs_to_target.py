"""benchmarks/runs_to_target: a fit that keeps cliffs, searches driven right, rows made once, tables from rows."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks import rows
from benchmarks.lattice import lattices
from benchmarks.runs_to_target import __main__ as command
from benchmarks.runs_to_target import baselines, cells, conditions, page, real, simulation, surface
from benchmarks.runs_to_target.conditions import HERE, NONE, Condition, Start
from benchmarks.runs_to_target.surface import Sample
from flatdirs.objectives.base import Measurement
from flatdirs.search.types import Run, Suggestion
from flatdirs.space.shipped_charts import named_chart
from flatdirs.tuning.start import automatic_start


def at(rate: float, averaging: float, decay: float) -> dict[str, float]:
    """Hyperparameters from powers of two."""
    return {"lr": 2.0**rate, "momentum": 1 - 2.0**averaging, "wd": 2.0**decay}


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
    ground = surface.build(cells.from_rows(lattice, found))
    between = [(a - 14, b - 8, c - 16) for a, b, c in np.ndindex(14, 8, 14) if a % 2 and b % 2 and c % 2]
    off = [ground.value(at(*cell)) - truth(*cell) for cell in between if cell[0] - cell[1] < 2]
    assert math.sqrt(np.mean(np.square(off))) < 2.0
    assert abs(ground.best - 95) < 1.0
    assert max(ground.value(at(rate, -1, -15)) for rate in np.arange(-14, -8, 0.3)) < 12
    steps = sorted(np.abs(np.diff([ground.value(at(rate, -2, -11)) for rate in np.arange(0, 4, 0.05)])))
    assert (steps[-1] > 40, steps[-2] < 5) == (True, True), "one jump"
    assert ground.value(at(-3, -12, -30)) == ground.value(at(-3, -8, -16)), "outside as on the edge"


@pytest.mark.slow
def test_noise_is_that_of_real_runs_and_in_images() -> None:
    point, generator, ground = at(-3, -3, -9), np.random.default_rng(0), surface.named("digits")
    samples = [ground.observe(point, generator, 0.0) for _ in range(500)]
    accuracies = [sample.accuracy for sample in samples]
    assert all(abs(accuracy * 10 - round(accuracy * 10)) < 1e-6 for accuracy in accuracies)
    assert 0.2 < np.std(accuracies) < 1.5
    assert np.mean(accuracies) == pytest.approx(ground.value(point), abs=0.2)
    assert np.corrcoef(accuracies, [math.log(sample.loss or 1) for sample in samples])[0, 1] < 0


def test_a_search_is_asked_with_all_runs_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, accuracies, points = [((0, 0, 0), 0), ((1, 0, 0), 0), ((0, 0, 0), 1)], [50.0, 40.0, 60.0], []

    def ask(grid: object, settings: object, runs: Sequence[Run]) -> Suggestion | None:
        assert [(run.point, run.replicate, run.value) for run in runs] == [
            (*one, value) for one, value in zip(asked, accuracies[: len(runs)], strict=False)
        ]
        return Suggestion(*asked[len(runs)], "", "", (0, 0, 0) if runs else None) if len(runs) < 3 else None

    def measure(point: Mapping[str, float], replicate: int) -> Sample:
        points.append((point["lr"], replicate))
        return Sample(accuracies[len(points) - 1], 1.0, False)

    monkeypatch.setattr(simulation, "ask", ask)
    condition, begin = Condition("digits", "myrtle", NONE, "good"), Start(at(-4, -4, -9), 0.0)
    returned = list(simulation.drive(condition, surface.named("digits"), begin, 0, measure))
    assert points == [(2.0**-4, 0), (2.0**-3, 0), (2.0**-4, 1)]
    assert [point["lr"] for point in returned] == [2.0**-4] * 3


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "tpe_chart", "cmaes"])
def test_baselines_stay_in_their_box_and_repeat_themselves(name: str) -> None:
    box = conditions.box("digits", "expert")

    def run() -> list[Mapping[str, float]]:
        begin = None if name == "tpe_chart" else at(5, -7, -16)
        method, noise = baselines.make(name, named_chart("sgd"), box, begin, 3), np.random.default_rng(0)
        found = [next(method)]
        for _ in range(14):
            found.append(method.send(surface.named("digits").observe(found[-1][0], noise, 0.0)))
        points = [point for point, _, _ in found]
        assert found[-1][2] in points
        return points

    points = run()
    assert points == run()
    for side, (low, high) in box.items():
        values = [1 - point["momentum"] if side == "one_minus_momentum" else point[side] for point in points]
        assert all(low * (1 - 1e-9) <= value <= high * (1 + 1e-9) for value in values)
    if name != "tpe_chart":
        assert points[0]["lr"] == pytest.approx(box["lr"][1]), "the start, clipped"


def test_probes_are_paid_and_a_changed_automatic_start_raises_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows depend on the automatic start: whoever changes it raises conditions.AUTOMATIC."""
    keys = ("lattice", "seed", "log_midpoint", "cost_steps", "run_steps")
    probes = [("digits", "0", "0.05", "180.0", "360"), ("digits", "1", "", "90.0", "360")]
    rows.write(tmp_path / "probes.csv", keys, [dict(zip(keys, probe, strict=True)) for probe in probes])
    monkeypatch.setattr(conditions, "PROBES", tmp_path / "probes.csv")
    assert conditions.start("digits", "auto", 0) == (automatic_start(0.05, 360, "momentum"), 0.5)
    assert conditions.start("digits", "auto", 21) == (conditions.start("digits", "typical", 0).hyperparameters, 0.25)
    numbers = {"lr": 0.09, "momentum": 0.9, "wd": 0.0031}
    assert (conditions.AUTOMATIC, automatic_start(0.05, 360, "momentum")) == (2, numbers)


@pytest.mark.slow
def test_rows_that_are_missing_are_made_again_as_they_were(tmp_path: Path) -> None:
    shutil.copy(HERE / "surfaces.json", tmp_path)
    kept = [one for one in rows.read(HERE / "digits.csv") if one["method"] in ("myrtle", "random")]
    kept = [one for one in kept if int(one["seed"]) < 3]
    some = [one for one in kept if one["seed"] != "1"]
    stale = [{**one, "key": "old"} if one["method"] == "random" else one for one in some]
    rows.write(tmp_path / "digits.csv", list(kept[0]), stale)
    arguments = [f"folder={tmp_path}", "lattice=digits", "only=myrtle,random", "seeds=3", "full=true", "draw=false"]
    assert command.main(arguments) == 0
    made = [one for one in rows.read(tmp_path / "digits.csv") if one["method"] != "random+start"]
    kept = [one for one in kept if one["method"] != "random+start"]
    assert [{**one, "overhead_ms": ""} for one in made] == [{**one, "overhead_ms": ""} for one in kept]
    condition, ground = Condition("digits", "flatdirs", NONE, "auto"), surface.named("digits")
    row = simulation.row(condition, conditions.key(condition, ground.key), 0, True, ground)
    filed = next(one for one in rows.read(HERE / "digits.csv") if tuple(one.values())[:4] == (*condition[1:], "0"))
    assert {**filed, "overhead_ms": ""} == {**{name: str(value) for name, value in row.items()}, "overhead_ms": ""}


@pytest.mark.slow
def test_real_training_resumes_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conditions.SETTINGS["real"], "seeds", 1)
    trained: list[int] = []

    def run(limit: int) -> None:
        def train(point: Mapping[str, float], seed: int) -> Measurement:
            if len(trained) == limit:
                raise KeyboardInterrupt
            trained.append(seed)
            epoch = {"number": 1, "train_loss": 0.5, "loss": 0.5, "accuracy": 50.0, "seconds": 1.0, "seed": seed}
            return Measurement("finished", 50.0 + point["lr"], 0.5, False, 1.0, (epoch,), {})

        real.run("digits", train, tmp_path, ("myrtle", "tpe"))

    with pytest.raises(KeyboardInterrupt):
        run(20)
    assert len(rows.read(tmp_path / "real.csv")) == 20
    run(1000)
    found = rows.read(tmp_path / "real.csv")
    assert len({(one["method"], one["box"], one["kind"], one["run"]) for one in found}) == len(found) == len(trained)
    assert sum(one["kind"] == "search" and one["method"] == "tpe" for one in found) == 2 * 25


def evidence(folder: Path, runs: Mapping[tuple[str, str, str], Sequence[float]]) -> page.Evidence:
    """Evidence of digits with these runs to every target, and one row of another surface."""
    facts = {"best": 98.0, "starts": {"good": 97.9, "auto": 50.0}}
    facts["volumes"] = {"expert": {"2": 9.0, "1": 3.0, "0.5": 0.1}, "ignorant": {"2": 1.0, "1": 0.5, "0.5": 0.01}}
    (folder / "surfaces.json").write_text(json.dumps({"digits": {"checksum": "c", "version": 1, "facts": facts}}))
    found = [
        {
            **dict(zip(("method", "box", "start"), parts, strict=True)),
            **{"seed": seed, "key": conditions.key(Condition("digits", *parts), "c-1"), "complete": 1},
            **{f"runs_{target:g}": "" if needed > 60 else needed for target in conditions.TARGETS},
            **{f"returned_{count}": 97.0 for count in conditions.AFTER},
        }
        for parts, values in runs.items()
        for seed, needed in enumerate(values)
    ]
    rows.write(folder / "digits.csv", list(found[0]), [*found, {**found[0], "seed": 99, "key": "old", "runs_1": 1}])
    return page.Evidence(folder)


def test_tables_come_from_the_rows(tmp_path: Path) -> None:
    starts = "auto", "careless_low", "careless_high", "typical", "good"
    runs = {
        **{("flatdirs", NONE, start): [4.0] * 8 for start in starts},
        ("flatdirs", NONE, "source"): [20.0] * 7 + [61.0],
        **{("myrtle", NONE, start): [19.0] + [20.0] * 7 for start in ("auto", "source")},
        **{("raw", NONE, start): [needed] * 8 for start, needed in (("auto", 21.0), ("source", 5.0))},
        **{("tpe", box, NONE): [needed] * 8 for box, needed in (("ignorant", 12.0), ("expert", 7.0))},
        **{
            ("cmaes", box, start): [1.0] * 8
            for box in ("ignorant", "expert")
            for start in ("source", "auto", "good", "typical")
        },
    }
    found = evidence(tmp_path, runs)
    assert found.cell("digits", "flatdirs", NONE, "source", 1.0) == "20 (12)"
    promises = page.promises(found)
    assert set(promises["target"]) == {1.0}, "the one that fills enough of the expert's box, and not too much"
    met = {(one.start, one.promise): one.met for one in promises.itertuples()}
    assert met["auto", "at most 1/3 of the median of `tpe`, ignorant box"]
    assert not met["auto", "at most 1/2 of the median of `tpe`, expert box"]
    assert not met["source", "at most 12"]
    assert not met["all", "at most 1 % never arrive"]
    assert set(promises[promises["begun"]]["start"]) == {"good"}
    slower = page.behind(found).set_index(["target", "start"])
    text = "`cmaes`, expert box 1*; `cmaes`, ignorant box 1*; `raw` 5*; `tpe`, expert box 7*; `tpe`, ignorant box 12*"
    assert slower.loc[("1 %", "source"), "fewer runs"] == text
    assert slower.loc[("1 %", "source"), "clipped"]
