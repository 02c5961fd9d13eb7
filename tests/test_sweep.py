"""Sweeps as a user types them: the metric, a pruner, a kill in the middle, and a sentence for what cannot work."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml

from flatdirs.analysis.ranges import on_edge, uniform_over_decades, wider
from flatdirs.analysis.reading import read_sweep
from flatdirs.backend.storages import open_storage
from flatdirs.errors import ConfigError
from flatdirs.training.edge_metric import EdgeOfStability, edge_metric
from tests.conftest import Ended, calls, module_of, printed_command, spawn

Command = Callable[..., Ended]
SMALL = ["task=digits", "task.epochs=2", "task.validation_images=60", "task.width=4", "evaluate_every=2", "confirm=0"]
SWEEP = [
    *SMALL, "optimizer=adamw", "schedule=cosine", "schedule.warmup_epochs=0.5", "live=false",
    "metric=edge_of_stability", "pruner=rungs", "pruner.first_rung=6", "start.lr=0.001",
]  # fmt: skip
CURVES = """
import os, pathlib, signal
from {module} import train as hill

def train(lr, momentum, wd, seed, report):
    value = hill(lr, momentum, wd, seed, lambda step, value: None)
    number = len(pathlib.Path("calls.txt").read_text().splitlines())
    for n in range(1, 9):
        report(n, value - 5 / n)
        if n == {deaths}.get(number):
            os.kill(os.getpid(), signal.SIGKILL)
    return value
"""


def trials(folder: Path, study: str) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage("journal", folder / "studies" / study)
    return optuna.load_study(study_name=study, storage=storage).trials


@pytest.mark.slow
def test_the_sweep_of_the_readme_runs_and_tells_its_metric(workplace: Path, command: Command) -> None:
    ended = command("tune", *SWEEP, "search=tpe", "budget=8", "confirm=1")
    assert ended.code == 0, ended.err
    assert "pruned" in ended.out
    assert re.search(r"best: run \d of 8, [-.\d]+ edge of stability", ended.out)
    assert re.search(r"confirmed on test images, 1 seed: winner [-.\d]+ edge of stability", ended.out)
    assert "%" not in ended.out
    runs = trials(workplace, "digits-tpe")
    assert {trial.state.name for trial in runs} == {"COMPLETE", "PRUNED"}
    for trial in runs:
        outcome, curve = trial.user_attrs["outcome"], trial.user_attrs["curve"]
        finished = trial.state.name == "COMPLETE"
        assert outcome["state"] == ("finished" if finished else "pruned")
        assert len(curve) == 18 if finished else len(curve) == 6 or len(curve) == 12
        known = edge_metric([e["loss"] for e in curve], [e["lr"] for e in curve], EdgeOfStability())
        assert (outcome["value"] if finished else outcome["partial"]) == pytest.approx(known[-1])
        assert min(trial.intermediate_values) == 6
        assert outcome["accuracy"] == curve[-1]["accuracy"]
        assert outcome["loss"] == curve[-1]["loss"]
        steps = trial.user_attrs["steps"]
        assert len(steps["lr"]) == len(steps["gradient_norm"]) == 2 * len(curve)
        assert all(float(f"{norm:.4g}") == norm for norm in steps["gradient_norm"])
    best = yaml.safe_load((workplace / "studies/digits-tpe/best.yaml").read_text(encoding="utf-8"))
    assert best["evaluate_every"] == 2
    status = command("status", "study=digits-tpe")
    assert "edge of stability" in status.out
    assert "%" not in status.out
    again = command("tune", *SWEEP, "search=tpe", "metric.kappa=1.03")
    assert (again.code, "metric.kappa=1.02, not 1.03" in again.err) == (2, True)
    trained = command("train", "--config-file", "studies/digits-tpe/best.yaml", "clip_gradient=0.5")
    assert trained.code == 0
    assert len(re.findall(r"^ +\d+  ", trained.out, re.MULTILINE)) == 18


@pytest.mark.slow
def test_with_repeats_like_is_compared_with_like_and_the_mean_is_analysed(workplace: Path, command: Command) -> None:
    ended = command("tune", *SWEEP, "search=random", "budget=5", "repeats=2", "study=twice")
    assert ended.code == 0, ended.err
    runs = trials(workplace, "twice")
    kept = [trial for trial in runs if trial.state.name == "COMPLETE"]
    assert {trial.state.name for trial in runs} == {"COMPLETE", "PRUNED"}
    for trial in runs:
        curve, finished = trial.user_attrs["curve"], trial in kept
        assert [entry["seed"] for entry in curve] == ([0] * 18 + [1] * 18 if finished else [0] * len(curve))
        assert list(trial.intermediate_values) == list(range(6, 19 if finished else len(curve) + 1))
        first = [entry["metric"] for entry in curve if entry["seed"] == 0]
        assert list(trial.intermediate_values.values()) == first[5:]
    storage = open_storage("journal", workplace / "studies" / "twice")
    read = read_sweep(storage, "twice")
    assert read.evaluations == tuple(range(1, 19))
    for run in read.survivors:
        own = [entry for entry in runs[run.number].user_attrs["curve"] if entry["number"] == 18]
        assert run.losses[-1] == (18, pytest.approx((own[0]["loss"] + own[1]["loss"]) / 2))
        assert run.metrics[-1] == (18, pytest.approx((own[0]["metric"] + own[1]["metric"]) / 2))
        assert run.value == pytest.approx(run.metrics[-1][1])
    late = command("tune", *SWEEP, "search=random", "repeats=2", "study=late", "pruner.first_rung=18")
    assert (late.code, "has 18 evaluations" in late.err) == (2, True)


@pytest.mark.slow
def test_a_loss_is_minimised_and_told(workplace: Path, command: Command) -> None:
    ended = command("tune", *SMALL, "live=false", "search=random", "metric=loss", "budget=3", "start=source")
    assert ended.code == 0, ended.err
    found = re.search(r"best: run \d of 3, ([.\d]+) loss", ended.out)
    assert found is not None
    losses = [trial.user_attrs["curve"][-1]["loss"] for trial in trials(workplace, "digits-random")]
    assert float(found[1]) == pytest.approx(min(losses), rel=1e-4)
    again = printed_command(ended.out, "start from it")
    assert "metric=loss" in again
    assert not any("pruner" in word for word in again)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "pruner"),
    [
        ("myrtle", ["pruner=rungs", "pruner.first_rung=2"]),
        ("random", ["pruner=wandb", "pruner.min_iter=2"]),
        ("flatdirs", ["pruner=incumbent", "pruner.first=2", "pruner.spread=1"]),
    ],
    ids=["rungs", "wandb", "incumbent"],
)
def test_killed_in_the_middle_a_pruned_search_goes_on_as_if_nothing_had_been(
    search: str, pruner: list[str], workplace: Path, command: Command
) -> None:
    def arguments(module: str, study: str) -> list[str]:
        own = ["task=callable", f"task.function={module}:train", "confirm=0", "live=false", "start=source"]
        own += ["start.lr=0.1"]
        return [*own, f"search={search}", *pruner, f"study={study}", "budget=12"]

    hill = module_of(workplace)
    for name, deaths in ((f"{hill}_a", {}), (f"{hill}_b", {3: 4, 8: 1})):
        (workplace / f"{name}.py").write_text(CURVES.format(module=hill, deaths=deaths), encoding="utf-8")
    whole = command("tune", *arguments(f"{hill}_a", "whole"))
    assert whole.code == 0, whole.err
    asked, lines = calls(workplace), rows(whole.out)
    assert "pruned" in whole.out
    (workplace / "calls.txt").unlink()
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        process = spawn("flatdirs.tune", *arguments(f"{hill}_b", "killed"), cwd=workplace)
        out, err = process.communicate(timeout=100)
        codes.append(process.returncode)
    assert codes[-1] == 0, err
    assert len(codes) > 1
    killed = calls(workplace)
    assert len(killed) == len(asked) + len(codes) - 1
    assert list(dict.fromkeys(killed)) == list(dict.fromkeys(asked))
    assert rows(out) == lines


def rows(out: str) -> list[str]:
    """The lines of runs without their seconds."""
    return [re.sub(r"\d+\.\d s ", "", line) for line in out.splitlines() if line.startswith("run ")]


@pytest.mark.slow
def test_a_real_sweep_killed_in_the_middle_goes_on(workplace: Path, command: Command) -> None:
    arguments = [*SWEEP, "search=random", "budget=6", "threads=1"]
    whole = command("tune", *arguments, "study=whole")
    assert whole.code == 0, whole.err
    process = spawn("flatdirs.tune", *arguments, "study=killed", cwd=workplace)
    log = workplace / "studies/killed/journal.log"
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not (log.exists() and reports(log) >= 10):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    ended = command("tune", *arguments, "study=killed")
    assert ended.code == 0, ended.err
    assert rows(ended.out) == rows(whole.out)
    assert "pruned" in whole.out


def reports(log: Path) -> int:
    lines = (line for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}"))
    return sum("intermediate_value" in json.loads(line) for line in lines)


@pytest.mark.slow
def test_a_function_of_ones_own_is_pruned_through_its_report(workplace: Path, command: Command) -> None:
    (workplace / "early.py").write_text(
        "def train(lr, report, **rest):\n    for n in range(1, 5):\n        report(n, lr)\n    return lr\n"
    )
    sys.modules.pop("early", None)
    own = ["task=callable", "task.function=early:train", "task.catch=true", "search=random", "confirm=0", "live=false"]
    ended = command(
        "tune", *own, "direction=minimize", "pruner=rungs", "pruner.first_rung=2", "budget=8", "start=source"
    )
    assert ended.code == 0, ended.err
    states = [trial.state.name for trial in trials(workplace, "callable-random")]
    assert states.count("PRUNED") >= 3
    assert "diverged" not in ended.out
    late = command("tune", *own, "pruner=rungs", "budget=2", "start=source", "study=late")
    assert "warning: pruner.first_rung=25 would never stop a run, which has 4 evaluations" in late.out


EDGE = ["search=random", "metric=edge_of_stability"]
REFUSED = {
    "a first rung too late": (["pruner=rungs"], "pruner.first_rung"),
    "a first bracket too late": (["pruner=hyperband"], "pruner.first_rung"),
    "a first band too late": (["pruner=wandb"], "pruner.min_iter"),
    "a first rung too late for a curve": ([*EDGE, "pruner=rungs", "pruner.first_rung=180"], "pruner.first_rung"),
    "a first band that nothing fills": (
        [*EDGE, "evaluate_every=4", "pruner=wandb", "pruner.min_iter=87"],
        "pruner.min_iter",
    ),
    "a first band by the last evaluation": (
        [*EDGE, "evaluate_every=4", "pruner=wandb", "pruner.max_iter=344", "pruner.s=2"],
        "pruner.max_iter",
    ),
    "a first comparison too late": (["pruner=incumbent", "pruner.first=20"], "pruner.first"),
    "no weight": (["metric=edge_of_stability", "metric.kappa=0"], "metric.kappa"),
    "a negative weight": (["metric=edge_of_stability", "metric.kappa=-1"], "metric.kappa"),
    "no window": (["metric=edge_of_stability", "metric.window=0"], "metric.window"),
    "a window beyond the run": ([*EDGE, "evaluate_every=18", "metric.window=20"], "metric.window"),
    "no variant": (["metric=edge_of_stability", "metric.variant=both"], "metric.variant"),
    "no metric": (["metric=speed"], "metric"),
    "no pruner": (["pruner=median"], "pruner"),
    "a maximised loss": (["metric=loss", "direction=maximize"], "direction"),
    "no steps": (["evaluate_every=0"], "evaluate_every"),
    "more steps than a run": (["evaluate_every=100000"], "evaluate_every"),
    "no gradient": (["clip_gradient=0"], "clip_gradient"),
    "a metric for a function": (["task=callable", "task.function=math:sqrt", "metric=loss"], "metric"),
    "clipping for a function": (["task=callable", "task.function=math:sqrt", "clip_gradient=1"], "clip_gradient"),
    "a range in words": (["search=random", "box.lr=[0.1,1,linear]"], "box.lr"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_sweep_that_cannot_work_gets_a_sentence(case: str, workplace: Path, command: Command) -> None:
    arguments, key = REFUSED[case]
    ended = command("tune", "start=source", "live=false", *arguments)
    assert ended.code == 2
    assert ended.err.startswith("flatdirs: ")
    assert ended.err.count("\n") == 1
    assert key in ended.err
    assert not (workplace / "studies").exists()


@pytest.mark.slow
def test_ranges_that_will_be_regretted_are_told(workplace: Path, command: Command) -> None:
    (workplace / "edge.py").write_text("def train(lr, wd, **rest):\n    return lr\n")
    sys.modules.pop("edge", None)
    own = ["task=callable", "task.function=edge:train", "search=random", "confirm=0", "live=false", "start=source"]
    ended = command("tune", *own, "budget=12", "study=narrow", "box.lr=[0.1,1,uniform]")
    assert "warning" not in ended.out, "a decade is no more than a decade"
    assert "the best lies on the edge of box.lr" in ended.out
    _, *words = printed_command(ended.out, "go on in a wider box")
    assert "study=narrow-wider" in words
    assert "box.lr=[0.1,10]" in words
    wide = command("tune", *words)
    assert wide.code == 0, wide.err
    assert "wider box" not in wide.out
    warned = command("tune", *own, "budget=1", "study=even", "box.lr=[0.001,1,uniform]")
    assert "warning: box.lr is drawn uniformly from 0.001 to 1: 90 % of its draws" in warned.out
    assert "search random" in command("status", "study=even").out
    changed = command("tune", *own, "budget=1", "study=even", "box.lr=[0.001,1]")
    assert (changed.code, "box.lr" in changed.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "low", "high", "warned"),
    [
        ("lr", 1e-4, 1e-1, True),
        ("lr", 0.0, 0.1, True),
        ("encoder_lr", 1e-4, 1e-1, True),
        ("wd", 1e-4, 1e-3, False),
        ("lr", 0.01, 0.09, False),
        ("batch_size", 16, 4096, False),
        ("one_minus_momentum", 0.01, 1.0, True),
        ("layers", 1, 100, False),
    ],
)
def test_a_uniform_rate_over_decades(name: str, low: float, high: float, warned: bool) -> None:
    assert (uniform_over_decades(name, low, high) is not None) == warned


def test_an_edge_is_within_a_twentieth_of_the_logarithm() -> None:
    assert [on_edge(value, 1e-4, 1.0) for value in (1e-4, 1.5e-4, 1.6e-4, 0.6, 0.64, 1.0)] == [
        "low", "low", None, None, "high", "high",
    ]  # fmt: skip
    assert wider(0.01, 1.0, "high", (0.0, 1.0)) == (0.01, 1.0), "no wider than its wall"
    assert wider(0.01, 1.0, "low") == (0.001, 1.0)


def test_a_metric_of_a_wrong_kind_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"metric\.window"):
        EdgeOfStability(window=True)
