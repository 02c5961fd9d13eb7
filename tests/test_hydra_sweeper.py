"""The sweeper for Hydra, in apps of their own: real child processes, through each launcher."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flatdirs.errors import FlatdirsError
from hydra_plugins.flatdirs_sweeper._settings import SweepSettings, read_settings
from tests.conftest import ROOT

APP = '''
import math, os, sys, time
import hydra

@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config):
    """A smooth hill over lr·wd, wd and the dropout."""
    o = config.optimizer
    call = f"{o.lr} {o.weight_decay} {config.model.dropout} {config.model.act} {config.seed}\\n"
    with open("calls.txt", "a+") as file:
        file.seek(0)
        known = call in list(file)
        file.write(call)
    trouble = config.trouble
    if trouble == "always" or (trouble == "far" and o.lr > 0.1):
        raise RuntimeError("boom")
    if trouble == "once" and o.lr > 0.1 and not os.path.exists("tried"):
        open("tried", "w").close()
        raise RuntimeError("boom")
    if trouble == "again" and known:
        raise RuntimeError("boom")
    if trouble == "memory" and config.model.width > 64:
        raise MemoryError
    if trouble == "nothing":
        return None
    if trouble == "unstable" and o.lr > 0.1:
        return math.nan
    if trouble == "exit" and o.lr > 0.1:
        sys.exit(3)
    if trouble == "die" and o.lr > 0.1:
        os._exit(9)
    time.sleep(config.seconds)
    lr, wd = math.log2(o.lr / 0.3), math.log2(o.weight_decay / 1e-3)
    return {"val/acc": 0.9 - 0.01 * lr * lr - 0.005 * wd * wd - config.model.dropout / 100}[config.optimized_metric]

if __name__ == "__main__":
    main()
'''
CONFIGURATION = """
optimizer: {_target_: torch.optim.AdamW, lr: 0.02, weight_decay: 1e-3, betas: [0.9, 0.99]}
model: {dropout: 0.1, width: 64, act: relu}
seed: null
trouble: null
seconds: 0
optimized_metric: val/acc
hydra: {sweep: {dir: 'sweeps/${now:%Y-%m-%d}/${now:%H-%M-%S-%f}'}}
"""
SCHEMA = """
from dataclasses import dataclass
import hydra
from hydra.core.config_store import ConfigStore

@dataclass
class Config:
    lr: float = 1.0

ConfigStore.instance().store(name="config", node=Config)

@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config):
    assert isinstance(config.lr, float)
    return (config.lr - 4) ** 2

main()
"""
SWEEP = ("-m", "hydra/sweeper=flatdirs", "hydra.sweeper.lr=optimizer.lr", "hydra.sweeper.wd=optimizer.weight_decay")
PARAMS = "hydra.sweeper.params."
JOURNAL = Path("sweeps/train/journal.log")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A folder with an app in the shape of the Lightning-Hydra template."""
    (tmp_path / "train.py").write_text(APP, encoding="utf-8")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/train.yaml").write_text(CONFIGURATION, encoding="utf-8")
    return tmp_path


def command(*words: str) -> list[str]:
    return [sys.executable, "train.py", *words]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def give(folder: Path, *words: str, code: int = 0) -> str:
    """All that the app prints; it must end with this exit code."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def results(folder: Path) -> dict[str, Any]:
    """What the latest sweep wrote."""
    latest = max(folder.rglob("optimization_results.yaml"), key=lambda path: path.stat().st_mtime_ns)
    found: dict[str, Any] = yaml.safe_load(latest.read_text(encoding="utf-8"))
    return found


def calls(folder: Path) -> list[list[str]]:
    return [line.split() for line in (folder / "calls.txt").read_text(encoding="utf-8").splitlines()]


def jobs(folder: Path) -> list[int]:
    """The numbers of all jobs that have a folder."""
    return sorted(int(path.parent.name) for path in folder.rglob(".hydra"))


def sentence(printed: str) -> str:
    """The one line of an error that a user can correct."""
    assert "Traceback" not in printed
    lines = [line for line in printed.splitlines() if line and not line.startswith(("Set the environment", "["))]
    assert len(lines) == 1, printed
    return lines[0]


def read(folder: Path, *words: str) -> SweepSettings:
    """The settings of a sweep with these words on its command line."""
    chosen = [] if words[:1] == ("+hparams_search=flatdirs",) else ["hydra/sweeper=flatdirs"]
    with initialize_config_dir(str(folder / "configs"), version_base="1.3"):
        config = compose("train", [*chosen, *words], return_hydra_config=True)
    keys: Any = OmegaConf.to_container(config.hydra.sweeper)
    return read_settings(keys, config, config.hydra.launcher)


@pytest.mark.slow
def test_the_plugin_loads_nothing_heavy_and_leaves_other_apps_alone(app: Path) -> None:
    probe = (
        "import sys; from hydra.core.plugins import Plugins; from hydra.plugins.sweeper import Sweeper;"
        "print(*(one.__name__ for one in Plugins.instance().discover(Sweeper)));"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'optuna', 'numpy', 'torch', 'flatdirs'}));"
        "print(*(name for name in sys.modules if name.startswith('hydra_plugins.flatdirs_sweeper._')))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", probe], env=environment(app), capture_output=True, text=True, check=True
    )
    names, *loaded = printed.stdout.splitlines()
    assert "FlatdirsSweeper" in names
    assert loaded == ["", ""]
    helped = give(app, "--help")
    assert "flatdirs" not in helped
    assert "dropout: 0.1" in helped
    give(app)
    assert len(calls(app)) == 1


@pytest.mark.slow
def test_a_search_from_the_apps_own_values_with_what_stands_on_the_command_line(app: Path) -> None:
    said = give(app, *SWEEP, "hydra.sweeper.budget=9", "model.width=32", "optimizer.lr=0.03")
    done = calls(app)
    assert len(done) == 9
    assert done[0][:2] == ["0.03", "0.001"]
    assert jobs(app) == list(range(9))
    found = results(app)
    assert set(found["best_params"]) == {"optimizer.lr", "optimizer.weight_decay"}
    assert found["best_value"] > 0.89
    assert 0.1 < found["best_params"]["optimizer.lr"] < 0.9
    assert set(found["best_expected"]["params"]) == set(found["best_params"])
    assert found["handed_over"]["params"] == found["best_expected"]["params"]
    assert found["handed_over"]["verdict"] in said
    assert "handed over: the incumbent" in said
    again = re.search(r"run it again: (.*)", said)
    assert again is not None
    assert "model.width=32" in again[1]
    assert all(f"{key}={value}" in again[1] for key, value in found["handed_over"]["params"].items())
    overrides = yaml.safe_load(next(app.rglob("8/.hydra/overrides.yaml")).read_text(encoding="utf-8"))
    assert overrides[0] == "model.width=32"
    assert list(app.rglob("multirun.yaml"))


@pytest.mark.slow
def test_the_same_command_goes_on_and_a_larger_budget_too(app: Path) -> None:
    give(app, *SWEEP, "hydra.sweeper.budget=3")
    give(app, *SWEEP, "hydra.sweeper.budget=3")
    assert len(calls(app)) == 3
    give(app, *SWEEP, "hydra.sweeper.budget=5")
    assert len(calls(app)) == 5
    assert jobs(app) == [0, 1, 2, 3, 4]
    assert (app / JOURNAL).is_file()
    assert results(app)["runs"] == 5
    give(app, *SWEEP, "hydra.sweeper.budget=5", "hydra.sweeper.study=whole")
    assert calls(app)[:5] == calls(app)[5:]


@pytest.mark.slow
def test_a_killed_sweep_goes_on_with_the_run_that_was_lost(app: Path) -> None:
    words = (*SWEEP, "hydra.sweeper.budget=4")
    give(app, *words[:-1], "hydra.sweeper.budget=2", "+tag=x")
    slow = [*words, "+tag=x"]
    (app / "train.py").write_text(APP.replace("time.sleep(config.seconds)", "time.sleep(60)"), encoding="utf-8")
    process = subprocess.Popen(
        command(*slow, "hydra.sweeper.anyway=true"),
        cwd=app,
        env=environment(app),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(calls(app)) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    (app / "train.py").write_text(APP, encoding="utf-8")
    give(app, *slow, "hydra.sweeper.anyway=true")
    lost, again = calls(app)[2:4]
    assert lost == again
    assert len(calls(app)) == 5
    assert jobs(app) == [0, 1, 2, 3, 4]
    assert results(app)["runs"] == 4


@pytest.mark.slow
def test_further_hyperparameters_choices_fixed_and_seeds(app: Path) -> None:
    give(
        app,
        *SWEEP,
        "hydra.sweeper.params.dropout=model.dropout:0:0.5",
        "hydra.sweeper.params.act=model.act:relu|gelu",
        "hydra.sweeper.fixed=[wd]",
        "hydra.sweeper.seed=seed",
        "hydra.sweeper.budget=8",
    )
    done = calls(app)
    assert {call[1] for call in done} == {"0.001"}
    assert len({call[2] for call in done}) > 1
    assert all(0 <= float(call[2]) <= 0.5 for call in done)
    assert {call[3] for call in done} == {"relu", "gelu"}
    assert done[0][4] == "0"
    assert set(results(app)["best_params"]) == {"optimizer.lr", "model.dropout", "model.act"}


@pytest.mark.long
def test_a_list_element_and_a_whole_number(app: Path) -> None:
    give(
        app,
        *SWEEP[:2],
        "hydra.sweeper.beta1=optimizer.betas.0",
        "hydra.sweeper.params.width={key: model.width, low: 16, high: 256}",
        "hydra.sweeper.budget=4",
    )
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in app.rglob(".hydra/config.yaml")]
    assert all(isinstance(one["model"]["width"], int) and 16 <= one["model"]["width"] <= 256 for one in found)
    assert len({(one["model"]["width"], one["optimizer"]["betas"][0]) for one in found}) > 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "words"),
    [
        ("joblib", ["hydra.launcher.n_jobs=2"]),
        ("submitit_local", ["hydra.sweeper.n_jobs=2"]),
    ],
)
def test_batches_through_the_apps_launcher(app: Path, launcher: str, words: list[str]) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    give(app, *SWEEP, f"hydra/launcher={launcher}", *words, "hydra.sweeper.budget=10")
    assert len(calls(app)) == 10
    assert len({tuple(call) for call in calls(app)}) > 5
    assert jobs(app) == list(range(10))
    assert results(app)["best_value"] > 0.88


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["always", "nothing"])
def test_a_first_job_that_fails_ends_the_search_with_its_error(app: Path, trouble: str) -> None:
    said = give(app, *SWEEP, f"trouble={trouble}", code=1)
    assert len(calls(app)) == 1
    if trouble == "always":
        assert said.count("Traceback") == 1
        assert "RuntimeError: boom" in said
        assert "hydra/_internal" not in said
    else:
        assert "None" in sentence(said)
    (app / "train.py").write_text(APP.replace("config.trouble", "None"), encoding="utf-8")
    give(app, *SWEEP, f"trouble={trouble}", "hydra.sweeper.budget=2")
    assert calls(app)[0] == calls(app)[1]
    assert len(calls(app)) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    ["far", "exit", pytest.param("once", marks=pytest.mark.long), pytest.param("unstable", marks=pytest.mark.long)],
)
def test_a_later_job_that_fails_is_tried_once_more_and_then_counts_as_diverged(app: Path, trouble: str) -> None:
    give(app, *SWEEP, f"trouble={trouble}", "hydra.sweeper.budget=5")
    done = [float(call[0]) for call in calls(app)]
    far = [lr for lr in done if lr > 0.1]
    assert far
    assert results(app)["runs"] == 5
    again = 0 if trouble == "unstable" else 1 if trouble == "once" else len(set(far))
    assert len(done) == 5 + again
    assert jobs(app) == list(range(len(done)))
    if trouble != "once":
        assert results(app)["best_params"]["optimizer.lr"] <= 0.1


@pytest.mark.long
def test_memory_that_runs_out_counts_at_once_where_a_size_is_searched(app: Path) -> None:
    size = PARAMS + "width=model.width:16:256"
    give(app, *SWEEP[:2], size, "trouble=memory", "hydra.sweeper.budget=4")
    assert len(calls(app)) == 4
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in app.rglob(".hydra/config.yaml")]
    assert max(one["model"]["width"] for one in found) > 64
    assert results(app)["best_params"]["model.width"] <= 64


@pytest.mark.long
def test_a_process_that_dies_takes_no_other_job_of_its_batch_along(app: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    give(app, *SWEEP, *words, "trouble=die", "hydra.sweeper.budget=6")
    assert results(app)["runs"] == 6
    assert results(app)["best_params"]["optimizer.lr"] <= 0.1


@pytest.mark.slow
def test_the_incumbents_own_failing_again_ends_the_search(app: Path) -> None:
    """The settings worked before, so it is not they that fail."""
    said = give(app, *SWEEP, "trouble=again", "hydra.sweeper.budget=9", code=1)
    *before, first, second = calls(app)
    assert first == second
    assert first in before
    assert "incumbent" in said
    assert results(app)["runs"] == len(before)


@pytest.mark.slow
def test_a_changed_script_needs_a_word(app: Path) -> None:
    give(app, *SWEEP, "hydra.sweeper.budget=1")
    (app / "train.py").write_text(APP + "# changed", encoding="utf-8")
    assert "hydra.sweeper.anyway" in sentence(give(app, *SWEEP, "hydra.sweeper.budget=2", code=1))
    give(app, *SWEEP, "hydra.sweeper.budget=2", "hydra.sweeper.anyway=true")
    assert len(calls(app)) == 2


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ([], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=optimizer.lrr"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=optimizer"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=seed"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=3"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=optimizer.lr:1"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=optimizer.lr:0.1:1"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=optimizer.lr:low:1"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr={key: optimizer.lr, low: 0.001}"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr={low: 0.001, high: 1}"], "hydra.sweeper.lr"),
        (["hydra.sweeper.lr=optimizer.lr", "optimizer.lr=0"], "optimizer.lr"),
        (["hydra.sweeper.lr=optimizer.lr", "hydra.sweeper.wd=optimizer.lr"], "hydra.sweeper.wd"),
        (
            ["hydra.sweeper.lr=optimizer.lr", "hydra.sweeper.params.learning_rate=model.dropout"],
            PARAMS + "learning_rate",
        ),
        ([PARAMS + "x={key: model.dropout, lower: 0}"], PARAMS + "x.lower"),
        ([PARAMS + "x=model.dropout:0.2:0.5"], PARAMS + "x"),
        ([PARAMS + "x=model.dropout:0:0.5:cubic"], PARAMS + "x"),
        ([PARAMS + "act=model.act:tanh|gelu"], PARAMS + "act"),
        ([PARAMS + "act=model.act"], PARAMS + "act"),
        ([*SWEEP[2:], "hydra.sweeper.fixed=[lr,wd]"], "fixed"),
        ([*SWEEP[2:], "hydra.sweeper.search=tpee"], "search"),
        ([*SWEEP[2:], "hydra.sweeper.budget=0"], "hydra.sweeper.budget"),
        ([*SWEEP[2:], "hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs"),
        ([*SWEEP[2:], "hydra.sweeper.direction=up"], "hydra.sweeper.direction"),
        ([*SWEEP[2:], "optimized_metric=quality"], "hydra.sweeper.direction"),
        ([*SWEEP[2:], "hydra.sweeper.optimizer=lion"], "hydra.sweeper.optimizer"),
        ([*SWEEP[2:], "hydra.sweeper.seed=sed"], "hydra.sweeper.seed"),
        ([*SWEEP[2:], "hydra.sweeper.anyway=3"], "hydra.sweeper.anyway"),
    ],
)
def test_what_a_user_can_correct_names_its_key(app: Path, words: list[str], key: str) -> None:
    with pytest.raises(FlatdirsError) as error:
        read(app, *words)
    assert error.value.key == key


def test_the_search_space_follows_the_apps_own_configuration(app: Path) -> None:
    found = read(app, *SWEEP[2:], "hydra.sweeper.beta1=optimizer.betas.0", PARAMS + "dropout=model.dropout:0:0.5")
    chart = found.plan.grid.chart
    assert found.optimizer == "adamw"
    assert found.maximize
    assert dict(found.plan.grid.start) == {"lr": 0.02, "wd": 1e-3, "beta1": 0.9, "dropout": 0.1}
    assert "lr·wd" in {axis.name for axis in chart.axes}
    assert chart.bounds["dropout"] == (0, 0.5)
    assert found.keys["wd"] == "optimizer.weight_decay"
    for words, optimizer in (
        (["optimizer._target_=torch.optim.Adam"], "adam"),
        (["optimizer._target_=mine.Lion", "+comment=adamw"], "adamw"),
        (["optimizer._target_=mine.Lion"], "sgd"),
        (["hydra.sweeper.optimizer=sgd"], "sgd"),
    ):
        assert read(app, *SWEEP[2:], *words).optimizer == optimizer
    assert not read(app, *SWEEP[2:], "optimized_metric=val/loss").maximize


def test_the_sweeper_may_be_chosen_in_a_file_of_the_app(app: Path) -> None:
    (app / "configs/hparams_search").mkdir()
    (app / "configs/hparams_search/flatdirs.yaml").write_text(
        "# @package _global_\ndefaults: [{override /hydra/sweeper: flatdirs}]\n"
        "hydra: {mode: MULTIRUN, sweeper: {lr: optimizer.lr, budget: 7, params: {dropout: {key: model.dropout, low: 0, "
        "high: 0.5}}}}\n",
        encoding="utf-8",
    )
    found = read(app, "+hparams_search=flatdirs")
    assert dict(found.keys) == {"lr": "optimizer.lr", "dropout": "model.dropout"}
    assert found.budget == 7


@pytest.mark.slow
def test_an_app_with_a_schema_that_runs_each_job_in_its_own_folder(app: Path) -> None:
    (app / "train.py").write_text(SCHEMA, encoding="utf-8")
    give(
        app,
        "-m",
        "hydra/sweeper=flatdirs",
        "hydra.sweeper.lr=lr",
        "hydra.sweeper.budget=3",
        "hydra.job.chdir=true",
        "hydra.sweeper.direction=minimize",
        "hydra.sweeper.storage=mine.log",
    )
    assert (app / "mine.log").is_file()
    assert results(app)["runs"] == 3
    assert results(app)["best_params"]["lr"] != 1.0


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ([], 1),
        (["hydra.sweeper.n_jobs=7"], 7),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"], 3),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=9"], 5),
        (["hydra/launcher=submitit_slurm"], 5),
        (["hydra/launcher=submitit_slurm", "hydra.launcher.array_parallelism=2"], 2),
        (["hydra/launcher=submitit_slurm", "hydra.sweeper.budget=3"], 1),
    ],
)
def test_the_size_of_a_batch(app: Path, words: list[str], size: int) -> None:
    if len(words) and "launcher=" in words[0]:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    assert read(app, *SWEEP[2:], *words).n_jobs == size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "hydra.sweeper.lr=optimizer.lr hydra.sweeper.wd=optimizer.weight_decay"),
        ([*SWEEP[2:], "model.width=32,64"], "model.width=32,64"),
        ([*SWEEP[2:], "model.dropout=interval(0,1)"], "hydra.sweeper.params"),
        ([*SWEEP[2:], "hydra.sweeper.fixed=[lr,wd]"], "hydra.sweeper.fixed"),
        ([*SWEEP[2:], "hydra.sweeper.search=tpee"], "hydra.sweeper.search"),
        ([*SWEEP[2:], "hydra.sweeper.storage=configs"], "hydra.sweeper.storage"),
    ],
)
def test_an_error_is_one_sentence(app: Path, words: list[str], said: str) -> None:
    assert said in sentence(give(app, *SWEEP[:2], *words, code=1))
    assert not (app / "calls.txt").exists()


@pytest.mark.long
def test_another_search_of_the_same_name_is_refused(app: Path) -> None:
    give(app, *SWEEP, "hydra.sweeper.budget=1")
    for other in (["model.width=32"], ["optimizer.lr=0.5"], ["hydra.sweeper.direction=minimize"], [SWEEP[2]]):
        words = [*SWEEP[:2], *other] if other == [SWEEP[2]] else [*SWEEP, *other]
        assert "hydra.sweeper.study" in sentence(give(app, *words, code=1))
    give(app, *SWEEP, "model.width=32", "hydra.sweeper.study=narrow", "hydra.sweeper.budget=1")
    assert len(calls(app)) == 2


@pytest.mark.long
def test_storage_by_its_address_and_status_of_the_study(app: Path) -> None:
    give(app, *SWEEP, "hydra.sweeper.storage=sqlite:///mine.db", "hydra.sweeper.budget=2", "hydra.sweeper.search=tpe")
    assert results(app)["storage"] == "sqlite:///mine.db"
    words = [sys.executable, "-m", "flatdirs", "status", "storage.url=sqlite:///mine.db"]
    shown = subprocess.run(words, cwd=app, env=environment(app), capture_output=True, text=True, check=True)
    assert "best: run" in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("editable", [False, True])
def test_installed_from_a_wheel_and_as_an_editable_package(app: Path, tmp_path: Path, editable: bool) -> None:
    """In an environment of its own, which finds the other packages here."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv/bin/python")
    (site,) = (tmp_path / "venv/lib").glob("*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    quiet = ["--disable-pip-version-check", "--quiet", "--no-deps", "--no-build-isolation"]
    install = [python, "-m", "pip", "install", *quiet, *(["--editable"] if editable else []), str(ROOT)]
    subprocess.run(install, check=True, env=own)
    ran = subprocess.run([python, "train.py", *SWEEP, "hydra.sweeper.budget=1"], cwd=app, env=own, check=False)
    assert ran.returncode == 0
    assert len(calls(app)) == 1
    probe = "import hydra_plugins, hydra_plugins.flatdirs_sweeper as own; print(hydra_plugins.__file__, own.__file__)"
    printed = subprocess.run([python, "-c", probe], env=own, cwd=app, capture_output=True, text=True, check=True)
    assert printed.stdout.split() == [
        "None",
        str((ROOT if editable else site) / "hydra_plugins/flatdirs_sweeper/__init__.py"),
    ]
