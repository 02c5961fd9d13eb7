"""The check on a GPU and make bench-94: what they count, skip and leave for the next call; every line, run small."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import rows
from benchmarks.gpu import page as gpu_page
from benchmarks.gpu import seeds, smoke_images
from benchmarks.runs_to_94 import page as runs_page
from benchmarks.runs_to_94.__main__ import SEARCHES
from flatdirs.errors import ConfigError
from tests.conftest import ROOT

TINY = ["task.epochs=1", "task.width=4", "task.batch_size=50", "task.train_images=90", "task.validation_images=10"]
ABOUT = dict.fromkeys(gpu_page.GROUP, "x") | {"device": "cuda (a card)", "data": "CIFAR-10"}
REST = {"diverged": "False", "peak_memory_mib": "900", "git": "abc"}


def seed_rows(accuracies: list[float], **about: str) -> list[dict[str, str]]:
    """Rows as a measurement writes them."""
    return [
        {**ABOUT, **about, **REST, "seed": str(n), "accuracy": f"{value:.2f}", "seconds": str(10 + n)}
        for n, value in enumerate(accuracies)
    ]


def script(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """run.sh on the CPU, given from `folder`."""
    environment = {**os.environ, "DEVICE": "cpu", "PYTHON": sys.executable, **more}
    command = [str(ROOT / "benchmarks/gpu/run.sh"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_page_without_rows_says_that_nothing_ran(tmp_path: Path) -> None:
    assert "Nothing here has run on a GPU yet" in gpu_page.draw(tmp_path)
    assert "It has not run yet" in runs_page.draw(tmp_path)


def test_mean_spread_and_share_are_those_of_comparable_rows(tmp_path: Path) -> None:
    table = [*seed_rows([93.0, 94.0, 95.0]), *seed_rows([10.0, 20.0], precision="fp16")]
    rows.write(tmp_path / "seeds.csv", list(table[0]), table)
    text = gpu_page.draw(tmp_path)
    assert "94.00 % ± 1.00 test accuracy (n=3), 2 of 3 at 94 % or more, 11.0 s a run (10.0 to 12.0)" in text
    assert "15.00 % ± 7.07 test accuracy (n=2), 0 of 2" in text
    assert "Nothing here has run" not in text


def test_the_bar_of_other_images_waits_for_all_seeds() -> None:
    assert seeds.bar(seed_rows([93.0, 94.0]), 3) is None
    assert seeds.bar(seed_rows([93.0, 94.0, 95.0]), 3) == 93.9


def study(search: str, seed: int, runs: int, then: str) -> list[dict[str, str]]:
    """Rows of one study."""
    probes = "0.250" if search == "flatdirs" else "0.000"
    about = dict.fromkeys(runs_page.GROUP, "x") | {
        "budget": "60",
        "search": search,
        "seed": str(seed),
        "probes": probes,
    }
    made = [{**about, "run": str(n + 1), "accuracy": "90.00", "seconds": "5", "then": ""} for n in range(runs)]
    made[-1]["then"] = then
    return made


def test_a_study_that_never_reaches_the_target_is_counted_and_one_cut_off_is_not(tmp_path: Path) -> None:
    table = [*study("myrtle", 0, 12, "target"), *study("myrtle", 1, 20, "over"), *study("myrtle", 2, 14, "target")]
    table += study("flatdirs", 0, 2, "target")
    table += [*study("random", 0, 60, "budget"), *study("random", 1, 3, "")]
    rows.write(tmp_path / "runs.csv", list(table[0]), table)
    text = runs_page.draw(tmp_path)
    assert "| myrtle | 3 | 2 | 14 | 12, never in 20 (ended by itself), 14 | 90.00 % | 5.0 |" in text
    assert "| flatdirs | 1 | 1 | 2.25 | 2.25 | 90.00 % |" in text
    assert "| random | 1 | 0 | never | never in 60 (budget used up), cut off after 3 |" in text


def test_a_row_that_a_kill_cut_off_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows.append(path, {"seed": 0, "accuracy": "94.00"})
    with path.open("a", encoding="utf-8") as file:
        file.write("1,9")
    assert rows.read(path) == [{"seed": "0", "accuracy": "94.00"}]
    rows.append(path, {"seed": 1, "accuracy": "93.00"})
    assert [row["accuracy"] for row in rows.read(path)] == ["94.00", "93.00"]


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Made-up images in CIFAR-10's shape."""
    smoke_images.write(tmp_path / "images.npz")
    return str(tmp_path / "images.npz")


def test_seeds_go_on_from_what_is_on_file_and_stop_in_time(images: str, tmp_path: Path) -> None:
    overrides = [*TINY, "task.test_images=50", "threads=1", "precision=fp32"]
    config = seeds.hand_tuned(images, "cpu", overrides)
    about = seeds.group(config, True, overrides)
    assert about["data"] == "CIFAR-10 (JPEG)"
    path = tmp_path / "seeds.csv"
    assert seeds.measure(config, about, path, 2, deadline=time.monotonic()) == []
    (first,) = seeds.measure(config, about, path, 1)
    kept = {**first, "accuracy": "12.34"}
    rows.write(path, list(kept), [kept])
    found = seeds.measure(config, about, path, 2, deadline=time.monotonic() + 100)
    assert [row["seed"] for row in found] == ["0", "1"]
    assert found[0] == kept
    assert seeds.measured(path, {**about, "checksum": "another"}) == []


def test_an_unknown_key_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="speed cannot be changed here"):
        seeds.hand_tuned(None, "cpu", ["speed=3"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere.npz"], "nowhere.npz does not exist; change --data"),
        (["--minutes", "soon"], "--minutes soon must be a number; change --minutes"),
        (["--fast"], "there is no option --fast; see --help"),
        (["--output"], "--output needs a value; see --help"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = script(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("run.sh: ")
    assert done.stderr.strip().endswith(sentence)
    assert done.stderr.count("\n") == 1


def test_smoke_results_stay_out_of_the_repository(tmp_path: Path) -> None:
    done = script("--smoke", "--output", str(ROOT / "benchmarks/gpu"), folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "writes no results into benchmarks/" in done.stderr


@pytest.mark.slow
def test_a_device_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    done = script("--smoke", folder=tmp_path, DEVICE="cuda:99")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "device=cuda:99 is not available here" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_check_runs_small_and_goes_on(tmp_path: Path) -> None:
    """Every piece of the script; then again with a seed and a study missing, which alone are made anew."""
    done = script("--smoke", "--output", "out", "--jpeg", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    before, studies = rows.read(out / "seeds.csv"), rows.read(out / "runs_to_94/runs.csv")
    assert [row["seed"] for row in before] == ["0", "1"]
    assert {(row["search"], row["seed"]) for row in studies} == {(s, n) for s in SEARCHES for n in "01"}
    assert {row["search"] for row in studies if float(row["probes"])} == {"flatdirs"}
    assert {row["then"] for row in studies} <= {"", "target", "budget"}
    target = round(sum(float(row["accuracy"]) for row in before) / 2 - 0.1, 2)
    assert {float(row["target"]) for row in studies} == {target}
    assert "CIFAR-10 (JPEG)" in (out / "README.md").read_text(encoding="utf-8")
    assert "| tpe | 2 |" in (out / "runs_to_94/README.md").read_text(encoding="utf-8")

    rows.write(out / "seeds.csv", list(before[0]), before[:1])
    done = script("--smoke", "--output", "out", "--jpeg", "--minutes", "10", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    after = rows.read(out / "seeds.csv")
    assert after[0] == before[0]
    assert (after[1]["seed"], after[1]["accuracy"]) == ("1", before[1]["accuracy"])
    assert rows.read(out / "runs_to_94/runs.csv") == studies
    assert "== tests was done before" in done.stdout
    with (out / "pieces.csv").open(encoding="utf-8") as file:
        pieces = [(name, outcome) for name, _, outcome, _ in csv.reader(file)]
    assert {outcome for _, outcome in pieces} == {"done"}
    assert sum(name == "seeds" for name, _ in pieces) == 2
    assert sum(name == "tests" for name, _ in pieces) == 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("schedule=cosine", "schedule cannot be changed here; the keys are lr"),
        ("seed=7", "seed cannot be changed here"),
        ("lr=abc", "lr=abc must be a number; change lr"),
        ("threads=[1", "threads=[1 must be a whole number; change threads"),
        ("compile=maybe", "compile=maybe must be true or false; change compile"),
        ("task.epochs=0", "task.epochs=0 must be at least 1; change task.epochs"),
    ],
)
def test_a_wrong_override_is_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        seeds.hand_tuned("images.npz", "cpu", [override])
    assert words in str(caught.value)


def test_overrides_reach_the_run() -> None:
    config = seeds.hand_tuned("images.npz", "cpu", ["lr=1e-1", "threads=null", "compile=true", "task.width=8"])
    assert (config.lr, config.threads, config.compile, config.task.width) == (0.1, None, True, 8)
