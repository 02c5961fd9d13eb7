"""The search space of a user's function on the command line: what it takes, further numbers, and choices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flatdirs.config.tune import read_tune
from flatdirs.errors import FlatdirsError
from tests.conftest import Ended, composed, printed_command

Command = Callable[..., Ended]
MORE = ["start.dropout=0.1", "chart.bounds.dropout=[0,0.5]", "start.layers=2", "chart.bounds.layers=[1,8]"]
FUNCTION = """
import math

def train(lr, wd, dropout, layers, act="relu", seed=0):
    return 90 - math.log2(lr * wd / 1e-4) ** 2 - 40 * (dropout - 0.25) ** 2 - (layers - 4) ** 2 + (act == "gelu")

def only_lr(lr): return -math.log2(lr / 0.3) ** 2

def adam(lr, beta1, wd): return 0.0

def takes_nothing(x=1): return 0.0
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with functions, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"spaces_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(FUNCTION, encoding="utf-8")
    return name


@pytest.mark.parametrize(
    ("function", "searched"),
    [("only_lr", ["lr"]), ("adam", ["lr", "wd", "beta1"]), ("train", ["lr", "wd", "dropout", "layers"])],
)
def test_the_chart_is_of_what_the_function_takes(module: str, function: str, searched: list[str]) -> None:
    words = MORE if function == "train" else []
    config = read_tune(composed("tune", "task=callable", f"task.function={module}:{function}", *words))
    assert list(config.plan.grid.chart.free) == searched


def test_further_numbers_and_choices_are_searched(module: str, command: Command) -> None:
    words = [
        "task=callable",
        f"task.function={module}:train",
        *MORE,
        "choices={act:[relu,gelu]}",
        "budget=12",
        "confirm=0",
    ]
    ended = command("tune", *words, "live=false")
    assert ended.code == 0, ended.err
    best = yaml.safe_load(Path("studies/callable-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert isinstance(best["layers"], int)
    assert 1 <= best["layers"] <= 8
    assert 0 <= best["dropout"] <= 0.5
    assert best["act"] in ("relu", "gelu")
    name, *again = printed_command(ended.out, "start from it")
    following = command(name, *again, "budget=1", "live=false")
    assert following.code == 0, following.err
    start = yaml.safe_load(Path("studies/callable-flatdirs-2/best.yaml").read_text(encoding="utf-8"))
    assert {key: start[key] for key in ("lr", "dropout", "layers", "act")} == {
        key: best[key] for key in ("lr", "dropout", "layers", "act")
    }


def test_a_number_without_a_range_is_searched_and_its_command_goes_on(module: str, command: Command) -> None:
    words = ["task=callable", f"task.function={module}:train", "start.dropout=0.1", "start.layers=2", "live=false"]
    ended = command("tune", *words, "budget=2", "confirm=0")
    assert ended.code == 0, ended.err
    name, *again = printed_command(ended.out, "start from it")
    following = command(name, *again, "live=false")
    assert following.code == 0, following.err


def test_only_some_are_searched(module: str) -> None:
    words = ["task=callable", f"task.function={module}:train", *MORE, "tune=[lr,dropout]"]
    assert set(read_tune(composed("tune", *words)).plan.grid.chart.free) == {"lr", "dropout"}


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["start.dropout=0.1", "chart.bounds.dropout=[0,null]"], "chart.bounds.dropout"),
        (["start.dropout=0.1", "chart.bounds.dropout=[0.5,0]"], "chart.bounds.dropout"),
        (["start.dropout=0.1", "chart.bounds.dropout=[0.2,0.5]"], "chart.bounds.dropout"),
        (["start.dropout=0"], "chart.bounds.dropout"),
        (["choices={act:[relu,gelu]}", "start.act=tanh"], "choices.act"),
        (["chart.bounds.dropout=[0,0.5]"], "start.dropout"),
        (["choices={act:[relu]}"], "choices.act"),
        (["start.dropout=much", "chart.bounds.dropout=[0,0.5]"], "start.dropout"),
        (["tune=[momentum]"], "tune"),
        ([], "task.function"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(module: str, words: list[str], key: str) -> None:
    name = "takes_nothing" if not words else "train"
    with pytest.raises(FlatdirsError) as refused:
        read_tune(composed("tune", "task=callable", f"task.function={module}:{name}", *words))
    assert refused.value.key == key
