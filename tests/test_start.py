"""The start of a search whose start values are words: found by probes, stored, overridden, and done without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flatdirs.backend.storages import open_storage
from flatdirs.backend.study import PROBES, read_study
from flatdirs.backend.trial_runs import SETTING
from flatdirs.backend.trials import IDENTITY
from flatdirs.config.tune import read_tune
from flatdirs.errors import ConfigError, FinderError
from flatdirs.objectives.image import ImageObjective
from flatdirs.training.schedule import Triangle
from flatdirs.tuning import start as starting
from flatdirs.tuning.cdat_start import STEP_PRICE
from flatdirs.tuning.formatting import assignments
from flatdirs.tuning.settings import TuneConfig, identity
from flatdirs.tuning.start import AUTO_MOMENTUM, MOST_DECAY, PEAK_RATIO, TIMESCALE, automatic_start, with_start
from tests.conftest import Ended, composed, module_of, printed_command, spawn

Command = Callable[..., Ended]
QUICK = ("task.width=4", "task.epochs=2", "confirm=0", "live=false", "precision=fp32")
STEPS = 36  # of a run: 2 epochs of 300 images, 16 at a time
ADAMW = ("chart=adamw", "optimizer=adamw", "optimizer.rate_per_images=512")


def started(*words: str) -> tuple[TuneConfig, dict[str, float], str]:
    """The configuration with numbers for a start, these numbers, and what was said."""
    said: list[str] = []
    own = () if "task=callable" in words else QUICK
    config = with_start(read_tune(composed("tune", *own, *words)), said.append)
    return config, dict(config.plan.grid.start), "\n".join(said)


def stored_identity(study: str = "digits-flatdirs") -> dict[str, Any]:
    """What a study under ./studies was made with."""
    return read_study(open_storage("journal", Path("studies") / study), study)[1]


def warmup(config: TuneConfig) -> float | None:
    assert isinstance(config.objective, ImageObjective)
    assert isinstance(config.objective.schedule, Triangle)
    return config.objective.schedule.warmup_epochs


def function(folder: Path) -> tuple[str, ...]:
    """The overrides that tune the hill of `workplace`."""
    return ("task=callable", f"task.function={module_of(folder)}:train")


def test_the_rule_has_two_digits_and_the_schedules_ratio() -> None:
    start = automatic_start(0.0534, 2000, "momentum")
    assert start == {"lr": 0.096, "momentum": AUTO_MOMENTUM, "wd": start["wd"]}
    product = 2000 * start["lr"] * start["wd"] / (1 - AUTO_MOMENTUM)
    assert product == pytest.approx(TIMESCALE, rel=0.05)
    assert automatic_start(0.0534, 2000, "momentum", constant=True)["lr"] == 0.053
    adamw = automatic_start(0.002, 2000, "beta1")
    assert adamw["beta1"] == AUTO_MOMENTUM
    assert 2000 * adamw["lr"] * adamw["wd"] == pytest.approx(TIMESCALE, rel=0.05)
    assert automatic_start(0.0534, 20, "momentum")["wd"] == MOST_DECAY["momentum"], "a run of a few steps"


@pytest.mark.slow
@pytest.mark.parametrize("words", [("chart=sgd_batch", "schedule=constant"), ADAMW], ids=str)
def test_a_search_told_nothing_begins_where_the_rule_says(words: tuple[str, ...], workplace: Path) -> None:
    config, start, said = started("storage=memory", *words)
    assert said.count("14 probes of 20 steps") == 1
    assert f"the start is {assignments(start)}; the probes cost" in said
    name = "beta1" if words is ADAMW else "momentum"
    lr = start["lr"] * 16 / 512 / PEAK_RATIO if words is ADAMW else start["lr"]
    ruled = automatic_start(lr, STEPS, name, constant=words is not ADAMW)
    assert start["wd"] == pytest.approx(ruled["wd"], rel=0.06)
    assert start[name] == AUTO_MOMENTUM
    assert start.get("batch_size") == (16 if "chart=sgd_batch" in words else None)
    assert not config.open_start


@pytest.mark.slow
def test_what_is_given_stays_and_is_what_the_probes_use(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flatdirs.tuning import probing

    seen, probe = list[Any](), probing.probe_task
    monkeypatch.setattr(probing, "probe_task", lambda config, *a, **k: seen.append(config) or probe(config, *a, **k))
    for given in ({"wd": 0.001, "momentum": 0.5}, {"momentum": 0.95}, {"lr": 0.05}, {"lr": 0.05, "wd": 0.001}):
        words = [f"start.{key}={value}" for key, value in given.items()]
        _, start, said = started("storage=memory", "fixed=[wd]", *words)
        assert given.items() <= start.items()
        assert start["momentum"] == given.get("momentum", AUTO_MOMENTUM)
        assert ("probes" in said) == ("lr" not in given)
        if "wd" not in given:
            ruled = TIMESCALE * (1 - start["momentum"]) / (STEPS * start["lr"])
            assert start["wd"] == pytest.approx(min(MOST_DECAY["momentum"], ruled), rel=0.06)
    assert [(config.momentum, config.wd) for config in seen] == [(0.5, 0.001), (0.95, 5e-4)]


@pytest.mark.slow
def test_without_a_model_or_a_learning_rate_the_search_starts_at_usual_values(workplace: Path) -> None:
    _, start, said = started(*function(workplace))
    assert start == {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
    assert assignments({"lr": 0.1, "wd": 5e-4}) in said
    _, start, said = started(*function(workplace), "start.lr=0.2")
    assert start["lr"] == 0.2
    assert "lr=" not in said, "what was given is not called usual"
    assert started(*function(workplace), "start.lr=0.3")[1] == {**start, "lr": 0.3}
    _, told, nothing = started(*function(workplace), "start.lr=0.3", "start.wd=0.01")
    assert (told, nothing) == ({**start, "lr": 0.3, "wd": 0.01}, "")
    (workplace / f"{module_of(workplace)}_adamw.py").write_text("def train(lr, wd, beta1): return 1 - lr\n")
    adamw = ("task=callable", f"task.function={module_of(workplace)}_adamw:train", "chart=adamw")
    assert started(*adamw)[1] == {"lr": 0.001, "wd": 0.01, "beta1": 0.9}
    for words, begin in (
        (("schedule=cdat", "chart=cdat"), {"sigma": 0.25, "momentum": 0.9, "wd": 5e-4}),
        (("schedule=greedy", "chart=greedy"), {"momentum": 0.9, "wd": 5e-4}),
        (("schedule=cdat", "optimizer=adamw", "chart=cdat_adamw"), {"sigma": 0.25, "wd": 0.01, "beta1": 0.9}),
    ):
        _, found, said = started(*words)
        assert found == begin
        assert "no lr" in said


@pytest.mark.parametrize("search", ["random", "tpe", "qmc"])
def test_searches_without_a_start_find_none(search: str, workplace: Path) -> None:
    config, start, said = started(f"search={search}")
    assert (start, said) == ({"lr": 0.1, "momentum": 0.9, "wd": 5e-4}, "")
    assert identity(config)["start"] == start


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("schedule=cdat", "chart=cdat"),
        ("task=callable", "task.function=math:FUNCTION"),
    ],
)
@pytest.mark.parametrize("word", ["step_sampling", "cdat"])
def test_probes_that_have_no_effect_are_refused(words: tuple[str, ...], word: str, workplace: Path) -> None:
    with pytest.raises(ConfigError) as error:
        started(f"start.lr={word}", *[one.replace("math:FUNCTION", f"{module_of(workplace)}:train") for one in words])
    assert error.value.key == "start.lr"


@pytest.mark.slow
def test_a_start_from_cdat_is_stored_with_its_warm_up(workplace: Path) -> None:
    config, start, said = started("start=cdat")
    assert start == {"lr": start["lr"], "momentum": 0.9, "wd": 0.0005}
    assert (warmup(config) or 0) > 0
    assert f"a warm-up of {warmup(config):g} epochs" in said
    assert f"as much as {STEP_PRICE:.2f} runs" in said, "sixty steps, cut at the 36 of the run, each so much dearer"
    again, _, said = started("start=cdat")
    assert "as found" in said
    assert again == config
    fixed, _, said = started("start=cdat", "schedule.warmup_epochs=0.5", "study=fixed")
    assert warmup(fixed) == 0.5
    assert "warm-up" not in said


@pytest.mark.slow
def test_without_a_result_auto_starts_at_usual_values_and_step_sampling_is_refused(workplace: Path) -> None:
    _, start, said = started("start.wd=1e30")
    assert start == {"lr": 0.1, "momentum": 0.9, "wd": 1e30}
    assert said.count("probes of 20 steps") == 1
    assert "probes" not in started("start.wd=1e30")[2], "stored like any other"
    with pytest.raises(FinderError) as error:
        started("start=step_sampling", "start.wd=1e30", "study=other")
    assert error.value.key == "start.lr"
    assert not Path("studies/other").exists()


@pytest.mark.slow
def test_before_the_first_run_other_settings_are_probed_anew_and_the_first_worker_counts(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started()[1]
    assert "probes" not in started()[2]
    assert "probes of 20 steps" in started("task.epochs=1")[2]
    kept = starting._kept

    def overtaken(config: TuneConfig, word: str, record: dict[str, Any]) -> dict[str, Any]:
        kept(config, word, {**record, "start": 0.123})
        return kept(config, word, record)

    monkeypatch.setattr(starting, "_kept", overtaken)
    assert first["lr"] != started("study=overtaken")[1]["lr"] == 0.123


@pytest.mark.slow
def test_a_search_is_continued_from_the_start_it_found(workplace: Path, command: Command) -> None:
    assert command("tune", *QUICK, "budget=1").code == 0
    start = stored_identity()["start"]
    lines = [json.loads(line) for line in Path("studies/digits-flatdirs/journal.log").read_text().splitlines()]
    written = [key for line in lines for key in line.get("user_attr", {})]
    assert written.index(PROBES) < written.index(IDENTITY), "else another worker would take the start for a number"
    again = command("tune", *QUICK, "budget=2")
    assert again.code == 0, again.err
    assert "probes" not in again.out
    assert "continuing after 1 run\n" in again.out
    assert stored_identity()["start"] == start
    numbers = [f"start.{name}={value}" for name, value in start.items()]
    assert command("tune", *QUICK, "start=typical", *numbers, "budget=2").code == 0, "the same start, as numbers"
    assert command("tune", *QUICK, "start=myrtle", "study=numbers", "budget=1").code == 0
    refused = command("tune", *QUICK, "study=numbers", "budget=2")
    assert (refused.code, "start.lr" in refused.err) == (2, True)


@pytest.mark.slow
def test_two_at_once_agree(workplace: Path) -> None:
    both = [spawn("flatdirs.tune", *QUICK, "task.epochs=4", "budget=4", cwd=workplace) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    study = read_study(open_storage("journal", workplace / "studies/digits-flatdirs"), "digits-flatdirs")[0]
    points = [str(trial.user_attrs[SETTING]["hyperparameters"]) for trial in study.trials]
    assert len(points) == len(set(points))
    assert 4 <= len(points) <= 5


@pytest.mark.slow
def test_workers_probe_once_and_the_winner_is_a_start(workplace: Path, command: Command) -> None:
    ended = command("tune", *QUICK, "start=cdat", "budget=3", "workers=2")
    assert ended.code == 0, ended.err
    assert ended.out.count("before the first run") == 1
    assert "ended with exit code" not in ended.out
    again = command(*printed_command(ended.out, "start from it"))
    assert again.code == 0, again.err
    assert "start=" not in again.out.splitlines()[0], "nothing is probed"


CARRIED_FROM = {  # words → what is told of the published setting, and its T·lr·wd (SGD: over 1 − momentum)
    ("task=cifar10", "task.epochs=24", "task.batch_size=512"): ("ResNet-50", 14076 * 3.2 * 1e-4 / 0.1),
    ("task=cifar10", "optimizer=adamw", "task.batch_size=128", "task.epochs=200"): ("ConvNeXt-T", 93835 * 4e-3 * 0.05),
    ("task=text", "task.epochs=30"): ("NanoGPT-medium to a loss of 2.92 with AdamW", 9500 * 1.5e-3 * 0.125),
}


@pytest.mark.parametrize("words", CARRIED_FROM, ids=str)
def test_a_carried_start_comes_from_a_published_setting(words: tuple[str, ...], workplace: Path) -> None:
    said: list[str] = []
    config = with_start(read_tune(composed("tune", "start=carried", *words)), said.append)
    start = dict(config.plan.grid.start)
    name, timescales = CARRIED_FROM[words]
    (line,) = said
    assert name in line
    assert "https://" in line
    assert assignments({key: start[key] for key in ("lr", "wd")}) in line
    assert isinstance(config.objective, ImageObjective)
    run = config.objective.config(start, 0)
    assert run.decay_timescales == pytest.approx(timescales, rel=2e-3)
    assert not config.open_start
    assert not (workplace / "studies").exists(), "no run"


def test_a_carried_start_keeps_what_is_given_and_stays_where_its_rules_mean_something(workplace: Path) -> None:
    _, usual, said = started("start=carried")
    assert "CIFAR-100" in said
    assert usual["wd"] == MOST_DECAY["momentum"], "in so short a run the law asks for more"
    assert "wd would be 8.681" in said
    _, other, _ = started("start=carried", "start.momentum=0.95", "start.wd=0.001")
    assert other == {"lr": pytest.approx(usual["lr"] / 2), "momentum": 0.95, "wd": 0.001}
    _, auto, _ = started("start=carried", "start.wd=auto")
    assert auto["wd"] == pytest.approx(min(MOST_DECAY["momentum"], TIMESCALE * 0.1 / (STEPS * auto["lr"])), rel=0.06)
    _, shared, _ = started("start=carried", *ADAMW)
    _, plain, _ = started("start=carried", "chart=adamw", "optimizer=adamw")
    assert shared["lr"] == pytest.approx(plain["lr"] * 512 / 16, rel=1e-3), "lr per 512 images"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("start.lr=0.1", "start.wd=carried"), "start.wd"),
        (("task=text", "optimizer=sgd", "schedule=triangle", "start=carried"), "start.lr"),
        (("task=callable", "task.function=math:FUNCTION", "start=carried"), "start.lr"),
    ],
)
def test_a_carried_start_that_cannot_be(words: tuple[str, ...], key: str, workplace: Path) -> None:
    own = [word.replace("math:FUNCTION", f"{module_of(workplace)}:train") for word in words]
    with pytest.raises(ConfigError) as caught:
        with_start(read_tune(composed("tune", *own)), print)
    assert caught.value.key == key
