"""`curvature.every` in `train` and `tune`: records, figure, study, and wrong commands."""

from __future__ import annotations

import csv
import json
import math
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flatdirs.curvature.log_record import CurvatureRecord, columns
from flatdirs.training.loop import train
from flatdirs.training.optimizer import AdamW
from flatdirs.training.run_config import CurvatureConfig, TrainConfig
from tests.conftest import Ended
from tests.test_training_loop import SHORT, Short, config, measured

Command = Callable[..., Ended]
SMALL = ("task=digits", "task.epochs=1", "task.width=4", "curvature.images=64")


def small(**changes: object) -> TrainConfig:
    """A run of 12 steps of a narrow network, measured at every third."""
    return config(curvature=CurvatureConfig(3, 32), **changes)


@pytest.mark.slow
@SHORT
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_measuring_does_not_change_a_run(short: Short, precision: str) -> None:
    plain = short(precision=precision, clip_gradient=1.0)
    every = plain.total_steps // 4
    watched, unwatched = train(replace(plain, curvature=CurvatureConfig(every, 16))), train(plain)
    assert unwatched.curvature == ()
    assert [record.step for record in watched.curvature] == [every, 2 * every, 3 * every, 4 * every]
    assert all(record.residual < 0.01 and 0 < record.ratio < math.inf for record in watched.curvature)
    assert measured(watched) == measured(unwatched)


@pytest.mark.slow
def test_adamw_is_measured_with_its_preconditioner() -> None:
    """Its edge is 2(1 + beta1)/((1 − beta1)η); P is far below 1 here, so P⁻¹H is far sharper than H."""
    own = {"lr": 0.01, "momentum": None, "beta1": 0.8, "optimizer": AdamW()}
    for record in train(small(**own)).curvature:
        assert record.threshold == pytest.approx(2 * 1.8 / 0.2 / record.lr)
        assert record.ratio == pytest.approx(record.sharpness / record.threshold)
        assert record.sharpness > 100
        assert 0 < abs(record.alignment) < 1


def test_a_study_keeps_a_bounded_number_of_plain_records() -> None:
    records = [CurvatureRecord(n, 0.1, math.nan, 1 / 3, 2.0, math.inf, 0.0, 0.1, 1e-4, 7) for n in range(1, 1001)]
    kept = columns(records)
    assert len(kept["step"]) == 200
    assert kept["step"][-1] == 1000
    assert kept["gradient_norm"][0] == 0.333333
    assert kept["loss"][0] is None
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert columns([])["step"] == []


@pytest.mark.slow
def test_train_prints_saves_and_draws_it(workplace: Path, command: Command) -> None:
    ended = command("train", *SMALL, "curvature.every=5", "curvature.figure=curvature.png", "curvature.save=c.csv")
    assert ended.code == 0, ended.err
    assert (workplace / "curvature.png").read_bytes().startswith(b"\x89PNG")
    with (workplace / "c.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 10, 15]
    assert all(0 < float(row["ratio"]) < math.inf and float(row["residual"]) < 0.01 for row in rows)
    assert re.search(r"^15 +\S+ +\S+ +\S+ +\S+ +\S+ +\d+\.\d\d +\d\.\d\d$", ended.out, re.MULTILINE)
    diverged = command("train", *SMALL, "lr=1e12", "curvature.every=4", "curvature.figure=curvature.svg")
    assert diverged.code == 0, diverged.err
    assert "diverged" in diverged.out
    assert (workplace / "curvature.svg").exists()


@pytest.mark.slow
def test_a_study_keeps_it_and_goes_on_without(workplace: Path, command: Command) -> None:
    own = ("start=typical", "confirm=0", "live=false", "storage=sqlite", "study=watched")
    assert command("tune", *SMALL, *own, "budget=1", "repeats=2", "curvature.every=9").code == 0
    with sqlite3.connect(workplace / "studies/watched/study.db") as database:
        query = "select value_json from trial_user_attributes where key = 'flatdirs:curvature'"
        ((text,),) = database.execute(query).fetchall()
    runs = json.loads(text)
    assert [run["seed"] for run in runs] == [0, 1]
    assert [run["step"] for run in runs] == [[9, 18], [9, 18]]
    assert all(value > 0 for run in runs for value in run["sharpness"])
    assert command("analyze", "watched", "storage=sqlite").code == 0
    assert (workplace / "studies/watched/analysis/stability.png").read_bytes().startswith(b"\x89PNG")
    again = command("tune", *SMALL, *own, "budget=2", "repeats=2")
    assert again.code == 0
    assert "continuing after 1 run" in again.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("train", "curvature.every=-1"), "curvature.every"),
        (("train", "curvature.every=5", "curvature.images=1"), "curvature.images"),
        (("train", "curvature.every=1000"), "curvature.every"),
        (("train", "curvature=5"), "curvature.every"),
        (("train", "curvature.figure=curvature.png"), "curvature.every"),
        (("train", "curvature.every=5", "curvature.figure=curvature.xyz"), "curvature.figure"),
        (("train", "curvature.every=5", "curvature.save=nowhere/c.csv"), "curvature.save"),
        (("tune", "task=callable", "task.function=a:b", "curvature.every=5"), "curvature.every"),
    ],
)
def test_a_wrong_command_is_refused(arguments: tuple[str, ...], key: str, workplace: Path, command: Command) -> None:
    ended = command(*arguments)
    assert ended.code == 2
    assert key in ended.err
    assert not ended.out
