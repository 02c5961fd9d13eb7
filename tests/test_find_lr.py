"""`find_lr`, and a search that takes its start from step sampling: the commands as a user types them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flatdirs.tuning.start import PEAK_RATIO
from tests.cifar10_pack import unpacked
from tests.conftest import Ended

Command = Callable[..., Ended]
pytestmark = pytest.mark.slow  # every test runs a whole command
QUICK = ("steps=5", "task.width=4", "validation_steps=4")
TEXT = ("task=text_small", "steps=5", "validation_steps=4")


def rate_of(text: str) -> float:
    """The learning rate recommended."""
    found = re.search(r"^learning rate (\S+) \[", text, re.MULTILINE)
    assert found, text
    return float(found.group(1))


def test_it_prints_picks_and_cost_and_draws_the_curve(workplace: Path, command: Command) -> None:
    ended = command("find_lr", *QUICK, "figure=curve.png")
    assert ended.code == 0
    assert (workplace / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert 0.001 < rate_of(ended.out) < 1
    for word in (
        "log_midpoint, recommended",
        "half_loss",
        "steepest",
        "min_lr, max_lr",
        "validation loss",
        "14 learning",
    ):
        assert word in ended.out
    assert re.search(r"\d+% of the 360 of a run", ended.out)


@pytest.mark.parametrize("words", [QUICK, TEXT], ids=["digits", "text"])
def test_the_same_seed_finds_the_same_rate(words: tuple[str, ...], workplace: Path, command: Command) -> None:
    first, again, other = (command("find_lr", *words, f"seed={seed}").out for seed in (1, 1, 2))
    assert 1e-4 < rate_of(first) < 1
    assert first == again
    assert first != other


def test_a_rate_for_so_many_images_is_what_train_takes(workplace: Path, command: Command) -> None:
    plain, scaled = (command("find_lr", *QUICK, *more).out for more in ((), ("optimizer.rate_per_images=32",)))
    typed = [float(re.search(r" lr=(\S+)", text).group(1)) for text in (plain, scaled)]  # type: ignore[union-attr]
    assert typed[1] == pytest.approx(2 * typed[0], rel=0.01)  # task=digits has 16 images a step


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("steps=0",), "steps=0"),
        (("budget=0",), "budget=0"),
        (("seeds=two",), "seeds=two"),
        (("lowest=1", "highest=0.1"), "highest=0.1"),
        (("lowest=-1",), "lowest=-1"),
        (("threshold=0",), "threshold=0"),
        (("budget=3",), "raise budget"),
        (("figure=nowhere/curve.png",), "figure=nowhere/curve.png"),
        (("figure=curve.xyz",), "must end in one of"),
        (("task=callable", "task.function=a:b"), "task=callable"),
        (("momentum=0.5", "optimizer=adamw"), "momentum"),
        (("task=cifar10", "data.path=nothing.npz"), "data.path"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments: tuple[str, ...], words: str, workplace: Path, command: Command) -> None:
    ended = command("find_lr", *arguments)
    assert ended.code == 2
    assert ended.err.startswith("flatdirs: ")
    assert ended.err.count("\n") == 1
    assert words in ended.err
    assert " [" not in ended.out


def search(command: Command, *arguments: str) -> Ended:
    """A short search that starts from step sampling."""
    return command(
        "tune", "start=step_sampling", "task.width=4", "task.epochs=1", "confirm=0", "live=false", *arguments
    )


def kept(path: Path) -> dict[str, Any]:
    """What step sampling gave, as a study's SQLite file has it."""
    with sqlite3.connect(path) as database:
        query = "select value_json from study_user_attributes where key = 'flatdirs:step_sampling'"
        (text,) = database.execute(query).fetchone()
    return dict(json.loads(json.loads(text)))


def test_a_search_starts_where_step_sampling_says_and_keeps_its_points(workplace: Path, command: Command) -> None:
    first = search(command, "budget=1", "storage=sqlite", "study=probed")
    assert first.code == 0
    probes = kept(workplace / "studies/probed/study.db")
    assert probes["start"] == pytest.approx(PEAK_RATIO * probes["pick"], rel=0.06)  # two digits
    assert len(probes["losses"]) == 15  # 14 rates, and 0
    assert f"lr={probes['start']:g} " in first.out
    again = search(command, "budget=2", "storage=sqlite", "study=probed")
    assert again.code == 0
    assert "as found" in again.out
    assert "run   2" in again.out
    assert kept(workplace / "studies/probed/study.db") == probes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("workers=2", "storage=memory"), "workers"),
        (("search=tpe",), "start=step_sampling"),
        (("study=numbered",), "start.lr"),
    ],
)
def test_what_cannot_be_is_refused_before_any_probe(
    arguments: tuple[str, ...], words: str, workplace: Path, command: Command
) -> None:
    short = ("task.width=4", "task.epochs=1", "confirm=0", "live=false", "budget=1")
    assert command("tune", "start=typical", "study=numbered", *short).code == 0
    ended = command("tune", "start=step_sampling", *short, *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert "probes" not in ended.out


def test_a_curve_without_an_answer_is_no_start(workplace: Path, command: Command) -> None:
    ended = search(command, "budget=1", "start.wd=1e30")
    assert ended.code == 2
    assert "start.lr" in ended.err
    assert not (workplace / "studies").exists()


def test_a_slice_wants_a_number(workplace: Path, command: Command) -> None:
    ended = command("slices", "start=step_sampling")
    assert ended.code == 2
    assert "start.lr" in ended.err


def test_on_cifar10(workplace: Path, command: Command) -> None:
    small = ("task=cifar10_small", f"data.path={unpacked()}", "task.train_images=1000")
    ended = command("find_lr", *small, "steps=10", "validation_steps=4")
    assert ended.code == 0
    assert 0.001 < rate_of(ended.out) < 1
