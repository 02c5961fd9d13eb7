"""benchmarks/gpu: what its tables count, what a second call skips, and every line of run.sh, run small."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import pages, rows
from benchmarks.gpu import GROUP, RUNS_GROUP, seeds, smoke_images
from benchmarks.gpu.page import NOT_YET
from benchmarks.gpu.searches import SEARCHES
from flatdirs.errors import ConfigError
from tests.conftest import ROOT

TINY = ["task.epochs=1", "task.width=4", "task.batch_size=50", "task.train_images=90", "task.validation_images=10"]


def script(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """run.sh on the CPU, given from `folder`."""
    environment = {**os.environ, "DEVICE": "cpu", "PYTHON": sys.executable, **more}
    command = [str(ROOT / "benchmarks/gpu/run.sh"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_only_comparable_rows_are_averaged_and_a_study_that_was_cut_off_counts_nowhere(tmp_path: Path) -> None:
    assert pages.values("gpu", tmp_path)["cards"] == NOT_YET
    about = {**dict.fromkeys(GROUP, "x"), "device": "cuda (a card)", "diverged": "False", "peak_memory_mib": "900"}
    sample = [("fp32", 93), ("fp32", 94), ("fp32", 95), ("fp16", 10), ("fp16", 20)]
    found = [{**about, "precision": word, "accuracy": str(value), "seconds": "10"} for word, value in sample]
    rows.write(tmp_path / "seeds.csv", list(found[0]), found)
    own = {**dict.fromkeys(RUNS_GROUP, "x"), "accuracy": "90.00", "seconds": "5"}
    studies = [("myrtle", 0, 12, "target"), ("myrtle", 1, 20, "over"), ("myrtle", 2, 14, "target")]
    studies += [("flatdirs", 0, 2, "target"), ("random", 0, 60, "budget"), ("random", 1, 3, "")]
    made: list[dict[str, object]] = []
    for name, seed, count, then in studies:
        about = {**own, "search": name, "seed": seed, "probes": 0.25 if name == "flatdirs" else 0.0}
        made += [{**about, "run": n, "then": then if n == count else ""} for n in range(1, count + 1)]
    rows.write(tmp_path / "runs.csv", list(made[0]), made)
    known = pages.values("gpu", tmp_path)
    cells = {name: known[name].replace(" ", "") for name in ("cards", "runs")}
    assert all(line in cells["cards"] for line in ("|94.00±1.00|3|2|0|10.0(10.0–10.0)|900|", "|15.00±7.07|2|0|"))
    assert "|myrtle|3|2|14|12,neverin20(endedbyitself),14|90.00|5.0|" in cells["runs"]
    assert "|flatdirs|1|1|2.25|2.25|" in cells["runs"]
    assert "|random|1|0|never|neverin60(budgetusedup),cutoffafter3|" in cells["runs"]


@pytest.mark.slow
def test_seeds_go_on_from_what_is_on_file_and_stop_in_time(tmp_path: Path) -> None:
    smoke_images.write(tmp_path / "images.npz")
    overrides = [*TINY, "task.test_images=50", "threads=1", "precision=fp32"]
    config = seeds.hand_tuned(str(tmp_path / "images.npz"), "cpu", overrides)
    about, path = seeds.group(config, True, overrides), tmp_path / "seeds.csv"
    assert seeds.measure(config, about, path, 2, deadline=time.monotonic()) == []
    (first,) = seeds.measure(config, about, path, 1)
    kept = {**first, "accuracy": "12.34"}
    rows.write(path, list(kept), [kept])
    found = seeds.measure(config, about, path, 2, deadline=time.monotonic() + 100)
    assert (found[0], [row["seed"] for row in found]) == (kept, ["0", "1"])
    assert seeds.measured(path, {**about, "checksum": "another"}) == []
    assert (seeds.bar(found, 3), seeds.bar([{"accuracy": "93"}, {"accuracy": "95"}], 2)) == (None, 93.9)
    seeds.time_epochs(config, about, tmp_path / "full_run.json", 1)
    assert pages.values("gpu", tmp_path)["full_device"].endswith("fp32")


@pytest.mark.parametrize(
    "override", ["schedule=cosine", "lr=abc", "threads=[1", "compile=maybe", "task.epochs=0", "task.speed=1"]
)
def test_a_wrong_override_is_named_and_a_right_one_reaches_the_run(override: str) -> None:
    with pytest.raises(ConfigError) as error:
        seeds.hand_tuned("images.npz", "cpu", [override])
    assert error.value.key == override.partition("=")[0]
    right = ["learning_rate=1e-1", "threads=null", "compile=true", "task.width=8"]
    config = seeds.hand_tuned("images.npz", "cpu", right)
    assert (config.lr, config.threads, config.compile, config.task.width) == (0.1, None, True, 8)


@pytest.mark.parametrize("arguments", ["--data nowhere.npz", "--minutes soon", "--fast", "--output"])
def test_a_mistake_is_answered_by_a_sentence(arguments: str, tmp_path: Path) -> None:
    done = script(*arguments.split(), folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert arguments.split(maxsplit=1)[0] in done.stderr


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_whole_check_runs_small_and_goes_on(tmp_path: Path) -> None:
    """Every piece of the script; then again with a seed missing, which alone is made anew."""
    assert "available" in script("--smoke", folder=tmp_path, DEVICE="cuda:99").stderr
    assert "change --output" in script("--smoke", "--output", str(ROOT / "benchmarks/gpu"), folder=tmp_path).stderr
    done, out = script("--smoke", "--output", "out", "--jpeg", folder=tmp_path), tmp_path / "out"
    assert done.returncode == 0, done.stderr
    before, studies = (rows.read(out / name) for name in ("seeds.csv", "runs.csv"))
    assert {(row["search"], row["seed"]) for row in studies} == {(search, seed) for search in SEARCHES for seed in "01"}
    assert {row["search"] for row in studies if float(row["probes"])} == {"flatdirs"}
    assert {row["then"] for row in studies} <= {"", "target", "budget"}
    assert "CIFAR-10 (JPEG)" in (out / "README.md").read_text(encoding="utf-8")
    rows.write(out / "seeds.csv", list(before[0]), before[:1])
    done = script("--smoke", "--output", "out", "--jpeg", "--minutes", "10", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["accuracy"] for row in rows.read(out / "seeds.csv")] == [row["accuracy"] for row in before]
    assert rows.read(out / "runs.csv") == studies
    table = csv.reader((out / "pieces.csv").read_text(encoding="utf-8").splitlines())
    pieces = sorted((name, outcome) for name, _, outcome, _ in table)
    assert pieces == [(name, "done") for name in ("bench-94", "bench-94", "seeds", "seeds", "tests", "throughput")]
