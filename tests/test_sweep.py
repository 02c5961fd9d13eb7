"""Searches with another metric and a pruner from the command line: results, an interruption, and refused settings."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml

from flatdirs.analysis.read_study import read_sweep
from flatdirs.backend.storages import open_storage
from flatdirs.backend.trial_runs import OUTCOME
from flatdirs.backend.trials import CURVE, STEPS
from tests.conftest import Ended, calls, module_of, spawn
from tests.test_sweep_metric import values

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
def test_a_sweep_over_the_edge_of_stability_metric_is_pruned_and_reported(workplace: Path, command: Command) -> None:
    ended = command("tune", *SWEEP, "search=tpe", "budget=8", "confirm=4")
    assert ended.code == 0, ended.err
    assert "pruned" in ended.out
    assert re.search(r"best: run \d of 8, [-.\d]+ edge of stability", ended.out)
    assert "%" not in ended.out
    runs = trials(workplace, "digits-tpe")
    assert {trial.state.name for trial in runs} == {"COMPLETE", "PRUNED"}
    for trial in runs:
        outcome, curve, steps = (trial.user_attrs[key] for key in (OUTCOME, CURVE, STEPS))
        finished = trial.state.name == "COMPLETE"
        assert outcome["state"] == ("finished" if finished else "pruned")
        assert len(curve) == 18 if finished else len(curve) == 6 or len(curve) == 12
        known = values([e["loss"] for e in curve], [e["lr"] for e in curve])
        assert (outcome["value"] if finished else outcome["partial"]) == pytest.approx(known[-1])
        assert min(trial.intermediate_values) == 6
        assert (outcome["accuracy"], outcome["loss"]) == (curve[-1]["accuracy"], curve[-1]["loss"])
        assert len(steps["lr"]) == len(steps["gradient_norm"]) == 2 * len(curve)
        assert all(float(f"{norm:.4g}") == norm for norm in steps["gradient_norm"])
    best = yaml.safe_load((workplace / "studies/digits-tpe/best.yaml").read_text(encoding="utf-8"))
    assert best["evaluate_every"] == 2
    status = command("status", "study=digits-tpe")
    assert "edge of stability" in status.out
    assert "%" not in status.out
    again = command("tune", *SWEEP, "search=tpe", "metric.kappa=1.03")
    assert (again.code, "metric.kappa" in again.err) == (2, True)
    trained = command("train", "--config-file", "studies/digits-tpe/best.yaml", "clip_gradient=0.5")
    assert trained.code == 0
    assert len(re.findall(r"^ +\d+  ", trained.out, re.MULTILINE)) == 18


@pytest.mark.slow
def test_with_repeats_the_first_seed_is_pruned_by_and_the_mean_is_analysed(workplace: Path, command: Command) -> None:
    ended = command("tune", *SWEEP, "search=random", "budget=5", "repeats=2", "study=twice")
    assert ended.code == 0, ended.err
    runs = trials(workplace, "twice")
    assert {trial.state.name for trial in runs} == {"COMPLETE", "PRUNED"}
    for trial in runs:
        curve, finished = trial.user_attrs[CURVE], trial.state.name == "COMPLETE"
        assert [entry["seed"] for entry in curve] == ([0] * 18 + [1] * 18 if finished else [0] * len(curve))
        first = [entry["metric"] for entry in curve if entry["seed"] == 0]
        assert trial.intermediate_values == dict(enumerate(first[5:], start=6))
    read = read_sweep(open_storage("journal", workplace / "studies" / "twice"), "twice")
    assert read.evaluations == tuple(range(1, 19))
    for run in read.finished_runs:
        own = [entry for entry in runs[run.number - 1].user_attrs[CURVE] if entry["number"] == 18]
        assert run.losses[-1] == (18, pytest.approx((own[0]["loss"] + own[1]["loss"]) / 2))
        assert run.metrics[-1] == (18, pytest.approx((own[0]["metric"] + own[1]["metric"]) / 2))
        assert run.value == pytest.approx(run.metrics[-1][1])
    late = command("tune", *SWEEP, "search=random", "repeats=2", "study=late", "pruner.first_rung=18")
    assert (late.code, "pruner.first_rung" in late.err) == (2, True)


@pytest.mark.slow
def test_a_loss_is_minimised_and_reported(workplace: Path, command: Command) -> None:
    ended = command("tune", *SMALL, "live=false", "search=random", "metric=loss", "budget=3", "start=myrtle")
    assert ended.code == 0, ended.err
    found = re.search(r"best: run \d of 3, ([.\d]+) loss", ended.out)
    assert found is not None
    losses = [trial.user_attrs[CURVE][-1]["loss"] for trial in trials(workplace, "digits-random")]
    assert float(found[1]) == pytest.approx(min(losses), rel=1e-4)
    again = next(line for line in ended.out.splitlines() if line.startswith("start from it: "))
    assert "metric=loss" in again
    assert "pruner=" not in again


@pytest.mark.slow
@pytest.mark.parametrize(
    ("search", "pruner"),
    [
        ("myrtle", ["pruner=rungs", "pruner.first_rung=2"]),
        ("flatdirs", ["pruner=incumbent", "pruner.first=2", "pruner.spread=1"]),
    ],
)
def test_a_killed_search_with_a_pruner_continues_as_if_it_had_not_been_killed(
    search: str, pruner: list[str], workplace: Path, command: Command
) -> None:
    def arguments(module: str, study: str) -> list[str]:
        own = ["task=callable", f"task.function={module}:train", "confirm=0", "live=false", "start=myrtle"]
        return [*own, "start.lr=0.1", f"search={search}", *pruner, f"study={study}", "budget=12"]

    hill = module_of(workplace)
    for name, deaths in ((f"{hill}_a", {}), (f"{hill}_b", {3: 4, 8: 1})):
        (workplace / f"{name}.py").write_text(CURVES.format(module=hill, deaths=deaths), encoding="utf-8")
    whole = command("tune", *arguments(f"{hill}_a", "whole"))
    assert whole.code == 0, whole.err
    assert "pruned" in whole.out
    asked = calls(workplace)
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
    assert rows(out) == rows(whole.out)


def rows(out: str) -> list[str]:
    """The lines of runs without their seconds."""
    return [re.sub(r"\d+\.\d s ", "", line) for line in out.splitlines() if line.startswith("run ")]


@pytest.mark.slow
def test_a_function_of_ones_own_is_pruned_through_its_report(workplace: Path, command: Command) -> None:
    (workplace / "early.py").write_text(
        "def train(lr, report, **rest):\n    for n in range(1, 5):\n        report(n, lr)\n    return lr\n"
    )
    sys.modules.pop("early", None)
    own = ["task=callable", "task.function=early:train", "task.catch=true", "search=random", "confirm=0", "live=false"]
    ended = command(
        "tune", *own, "direction=minimize", "pruner=rungs", "pruner.first_rung=2", "budget=8", "start=myrtle"
    )
    assert ended.code == 0, ended.err
    states = [trial.state.name for trial in trials(workplace, "callable-random")]
    assert states.count("PRUNED") >= 3
    assert "diverged" not in ended.out
    late = command("tune", *own, "pruner=rungs", "budget=2", "start=myrtle", "study=late")
    assert re.search(r"warning: .*pruner.first_rung", late.out)


EDGE = "search=random metric=edge_of_stability "
CALLABLE = "task=callable task.function=math:sqrt "
REFUSED = {
    "pruner=rungs": "pruner.first_rung",
    "pruner=hyperband": "pruner.first_rung",
    "pruner=wandb": "pruner.min_iter",
    EDGE + "pruner=rungs pruner.first_rung=180": "pruner.first_rung",
    EDGE + "evaluate_every=4 pruner=wandb pruner.min_iter=87": "pruner.min_iter",
    EDGE + "evaluate_every=4 pruner=wandb pruner.max_iter=344 pruner.s=2": "pruner.max_iter",
    "pruner=incumbent pruner.first=20": "pruner.first",
    "metric=edge_of_stability metric.kappa=0": "metric.kappa",
    "metric=edge_of_stability metric.window=0": "metric.window",
    EDGE + "evaluate_every=18 metric.window=20": "metric.window",
    "metric=speed": "metric",
    "pruner=median": "pruner",
    "metric=loss direction=maximize": "direction",
    "evaluate_every=100000": "evaluate_every",
    "clip_gradient=0": "clip_gradient",
    CALLABLE + "metric=loss": "metric",
    CALLABLE + "clip_gradient=1": "clip_gradient",
    CALLABLE + "ema=0.9": "ema",
    "search=random box.lr=[0.1,1,linear]": "box.lr",
}


@pytest.mark.slow
@pytest.mark.parametrize("overrides", REFUSED)
def test_a_setting_that_cannot_work_is_refused_with_its_key(overrides: str, workplace: Path, command: Command) -> None:
    ended = command("tune", "start=myrtle", "live=false", *overrides.split())
    assert ended.code == 2
    assert ended.err.startswith("flatdirs: ")
    assert ended.err.count("\n") == 1
    assert REFUSED[overrides] in ended.err
    assert not (workplace / "studies").exists()


@pytest.mark.slow
def test_ranges_with_faults_are_warned_about(workplace: Path, command: Command) -> None:
    (workplace / "edge.py").write_text("def train(lr, wd, **rest):\n    return lr\n")
    sys.modules.pop("edge", None)
    own = ["task=callable", "task.function=edge:train", "search=random", "confirm=0", "live=false", "start=myrtle"]
    ended = command("tune", *own, "budget=12", "study=narrow", "box.lr=[0.1,1,uniform]")
    assert "warning" not in ended.out, "a decade is no more than a decade"
    line = next(line for line in ended.out.splitlines() if "study=narrow-wider" in line)
    words = re.split(r"flatdirs[. ]tune ", line.replace("'", ""))[1].split()
    assert "box.lr=[0.1,10]" in words
    wide = command("tune", *words)
    assert wide.code == 0, wide.err
    warned = command("tune", *own, "budget=1", "study=even", "box.lr=[0.001,1,uniform]")
    assert re.search(r"^warning: box\.lr .*0\.001 to 1\b", warned.out, re.MULTILINE)
    changed = command("tune", *own, "budget=1", "study=even", "box.lr=[0.001,1]")
    assert (changed.code, "box.lr" in changed.err) == (2, True)
