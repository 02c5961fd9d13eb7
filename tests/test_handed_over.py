"""What a search hands over at its end: races on objectives whose best and noise are known."""

from __future__ import annotations

import functools
import math
import random
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

import flatdirs
from flatdirs.backend.storages import open_at, storage_at
from flatdirs.errors import ConfigError
from flatdirs.search.race import START
from tests.conftest import Ended, calls, module_of, printed_command, spawn
from tests.refused import refused
from tests.scripts import python, settings_of, study_in

Command = Callable[..., Ended]
BEGIN = {"lr": 0.1, "wd": 5e-4}
FRESH = 1000  # the first seed that the search itself never uses
tune = functools.partial(flatdirs.tune, start=BEGIN, direction="maximize", budget=8, study="mine", progress=False)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noise(*about: Any) -> float:
    """Standard normal, the same for the same run."""
    return random.Random(repr(about)).gauss(0, 1)


def hill(lr: float, wd: float, seed: int) -> float:
    """Five points better somewhere than at the start; noise 0.3."""
    return 90 - math.log2(lr * wd / 4e-4) ** 2 + 0.3 * noise(lr, wd, seed)


def flat(lr: float, wd: float, seed: int) -> float:
    """Nothing but noise, which a fresh seed has in common everywhere, so that no race is won by chance."""
    return 90 + (noise(lr, wd, seed) if seed < FRESH else noise(seed))


def overfit(lr: float, wd: float, seed: int) -> float:
    """A larger lr is better by the seeds of the search, worse by all others."""
    off = math.log2(lr / 0.1)
    return 90 + (off if seed < FRESH else -off) + 0.01 * noise(lr, wd, seed)


class Noting:
    """A function that notes its calls, and is interrupted at one of them."""

    def __init__(self, function: Callable[..., float], interrupted: int = 0) -> None:
        self.function, self.interrupted = function, interrupted
        self.calls: list[tuple[float, float, int]] = []

    def __call__(self, lr: float, wd: float, seed: int) -> float:
        if len(self.calls) + 1 == self.interrupted:
            self.interrupted = 0
            raise KeyboardInterrupt
        self.calls.append((lr, wd, seed))
        return self.function(lr, wd, seed)

    @property
    def race(self) -> list[tuple[float, float, int]]:
        """The calls with fresh seeds."""
        return [call for call in self.calls if call[2] >= FRESH]


def held(folder: Path) -> dict[str, Any]:
    """What best.yaml holds."""
    found: dict[str, Any] = yaml.safe_load((folder / "studies/mine/best.yaml").read_text(encoding="utf-8"))
    return {name: found[name] for name in BEGIN}


def verdict_of(result: flatdirs.SearchResult) -> Any:
    assert result.verdict is not None
    return result.verdict


def test_a_clear_gain_replaces_the_start_everywhere(here: Path) -> None:
    noted = Noting(hill)
    result = tune(noted, storage="study.log")
    verdict = verdict_of(result)
    assert verdict.confirmed
    assert not verdict.keeps_start
    assert result.best == verdict.hyperparameters == held(here) != BEGIN
    assert hill(**result.best, seed=5000) > hill(**BEGIN, seed=5000) + 1
    assert result.tuned[verdict.run - 1].settings == result.best
    lead = verdict.leads[verdict.handed_over]
    assert lead.pairs == 6
    assert lead.mean > 2 * lead.error
    own, start = result.confirmed[verdict.handed_over], result.confirmed[START]
    assert lead.gains == pytest.approx([a - b for a, b in zip(own, start, strict=True) if a and b])
    seeds = [call[2] for call in noted.race]
    assert seeds == sorted(seeds), "one seed after the other, the same for all"
    assert {call[2] for call in noted.race if call[:2] == (0.1, 5e-4)} == set(range(FRESH, FRESH + 6))
    with flatdirs.Tuner(BEGIN, "maximize", storage="elsewhere.log") as tuner:
        assert tuner.verdict is None


def test_without_a_difference_the_start_is_kept_and_the_search_is_still_reported(here: Path) -> None:
    result = tune(flat, budget=10)
    verdict = verdict_of(result)
    assert verdict.keeps_start
    assert verdict.confirmed
    assert result.best == held(here) == BEGIN
    assert verdict.run == 1
    assert result.best_observed is not None
    assert result.best_expected is not None
    assert "keep your settings" in verdict.sentence
    assert verdict.sentence in str(result)
    assert verdict.sentence in result._repr_html_()
    assert verdict.sentence in (here / "studies/mine/best.yaml").read_text(encoding="utf-8")


def test_the_hopeless_are_dropped_and_cost_no_more_seeds() -> None:
    noted = Noting(overfit)
    result = tune(noted, confirm=12)
    assert verdict_of(result).keeps_start
    assert {name: len(values) for name, values in result.confirmed.items()} == dict.fromkeys(result.confirmed, 3)
    assert len(noted.race) == 3 * len(result.confirmed)
    assert result.best_expected is not None
    assert result.best_expected.settings != result.best, "what the search favours is said, and not handed over"


@pytest.mark.slow
def test_an_interrupted_race_goes_on_with_the_runs_that_are_stored() -> None:
    whole, cut = Noting(hill), Noting(hill, interrupted=8 + 8)
    expected = tune(whole, storage="whole.log")
    with pytest.raises(KeyboardInterrupt):
        tune(cut, storage="cut.log")
    assert cut.race
    result = tune(cut, storage="cut.log")
    assert cut.calls == whole.calls
    assert verdict_of(result) == verdict_of(expected)
    assert result.confirmed == expected.confirmed


SLOW = """
import math, random, time

def train(lr, momentum, wd, seed):
    with open("calls.txt", "a") as file:
        file.write(f"{lr} {momentum} {wd} {seed}\\n")
    time.sleep(0.3 if seed >= 1000 else 0.0)
    return 90 - math.log2(lr * wd / (1 - momentum) / 0.01) ** 2 + 0.1 * random.Random(f"{lr} {seed}").gauss(0, 1)
"""


@pytest.mark.slow
def test_a_race_that_is_killed_loses_the_run_in_progress_only(here: Path, command: Command) -> None:
    (here / "killed.py").write_text(SLOW, encoding="utf-8")
    words = ["task=callable", "task.function=killed:train", "study=mine", "budget=6", "confirm=4", "live=false"]
    process = spawn("flatdirs", "tune", *words, cwd=here)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not ((here / "calls.txt").exists() and len(calls(here)) >= 6 + 5):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    before = calls(here)
    assert len(before) >= 6 + 5
    again = spawn("flatdirs", "tune", *words, cwd=here)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    after = calls(here)[len(before) :]
    assert set(after) & set(before) <= {before[-1]}
    assert all(int(line.split()[-1]) >= FRESH for line in after), "the search itself is not run again"
    assert "handed over: the " in out
    assert "handed over: the " in command("status", "mine").out


@pytest.mark.slow
def test_without_time_for_a_race_the_searchs_best_is_handed_over_unconfirmed_until_there_is(here: Path) -> None:
    noted = Noting(hill)
    tune(noted, storage="study.log", confirm=0)
    verdict = verdict_of(tune(noted, storage="study.log", minutes=1e-9))
    assert (verdict.basis, verdict.handed_over, verdict.confirmed) == ("unconfirmed", "incumbent", False)
    assert "minutes" in verdict.sentence
    assert held(here) == verdict.hyperparameters
    assert not noted.race
    verdict = verdict_of(tune(noted, storage="study.log"))
    assert (verdict.basis, verdict.keeps_start) == ("race", False)
    assert held(here) == verdict.hyperparameters


@pytest.mark.slow
def test_time_that_is_too_short_for_search_and_race_goes_to_the_search() -> None:
    def slow(lr: float, wd: float, seed: int) -> float:
        time.sleep(0.2)
        return hill(lr, wd, seed)

    result = tune(slow, minutes=9 * 0.2 / 60)  # eight runs of the race decide on one candidate
    assert len(result.tuned) > 1
    assert result.confirmed == {}
    assert verdict_of(result).basis == "unconfirmed"


@pytest.mark.slow
def test_a_race_with_too_few_seeds_to_decide_keeps_the_start_and_goes_on(here: Path) -> None:
    whole, cut = Noting(hill), Noting(hill, interrupted=8 + 3 * 3 + 1)  # before the fourth of six seeds
    expected = tune(whole, storage="whole.log")
    with pytest.raises(KeyboardInterrupt):
        tune(cut, storage="study.log")
    verdict = verdict_of(tune(cut, storage="study.log", minutes=1e-9))
    assert (verdict.basis, verdict.handed_over, verdict.confirmed) == ("unfinished", START, False)
    assert "command" not in verdict.sentence
    assert held(here) == BEGIN
    assert verdict_of(tune(cut, storage="study.log")) == verdict_of(expected)
    assert cut.calls == whole.calls


@pytest.mark.slow
def test_who_leads_when_the_time_is_over_was_not_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    noted = Noting(hill, interrupted=8 + 3 * 3 + 2 + 1)  # after the fourth of six seeds, without the runner-up
    with pytest.raises(KeyboardInterrupt):
        tune(noted, storage="study.log")
    result = tune(noted, storage="study.log", minutes=1e-9, progress=True)
    assert {name: len(values) for name, values in result.confirmed.items()} == {
        START: 4,
        "incumbent": 4,
        "runner-up": 3,
    }
    assert verdict_of(result).handed_over == "incumbent"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("confirmed")]
    assert [line.endswith(", dropped") for line in told] == [False, False, True]


@pytest.mark.slow
def test_who_was_judged_is_run_with_no_further_seeds_when_the_search_goes_on() -> None:
    noted = Noting(hill, interrupted=8 + 3 * 3 + 2 + 1)
    with pytest.raises(KeyboardInterrupt):
        tune(noted, storage="study.log")
    before = tune(noted, storage="study.log", minutes=1e-9)
    after = tune(noted, storage="study.log", budget=9)
    assert after.best is not None
    assert len(after.tuned) == 9
    assert (after.best, verdict_of(after).leads["incumbent"]) == (before.best, verdict_of(before).leads["incumbent"])
    assert {call[2] for call in noted.race if call[:2] == tuple(after.best.values())} == set(range(FRESH, FRESH + 4))


ONCE = """
import math, random
from pathlib import Path

def train(lr, momentum, wd, seed):
    if seed == 1004 and not Path("interrupted").exists():
        Path("interrupted").touch()
        raise KeyboardInterrupt
    with open("calls.txt", "a") as file:
        file.write(f"{lr} {momentum} {wd} {seed}\\n")
    best = (lr, wd) != (0.1, 5e-4)
    return 90 + best * (GAIN if seed >= 1000 else 2) + 0.1 * random.Random(f"{lr} {wd} {seed}").gauss(0, 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "kept"), [("1", False), ("(-0.1 if seed in (1001, 1003) else 1)", True)])
def test_a_candidate_is_judged_once_however_often_the_command_is_given(
    here: Path, command: Command, gain: str, kept: bool
) -> None:
    """Interrupted after four of six seeds, then decided for lack of time, whatever further seeds would show."""
    name = module_of(here)
    (here / f"{name}.py").write_text(ONCE.replace("GAIN", gain), encoding="utf-8")
    words = ["task=callable", f"task.function={name}:train", "study=mine", "budget=6", "live=false"]

    def told(*more: str) -> list[str]:
        ended = command("tune", *words, *more)
        lines = ended.out.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("handed over: ")), len(lines))
        return lines[first : first + 2]

    assert told() == []
    cut = told("minutes=1e-6")
    assert cut[0].startswith("handed over: the start") == kept
    before = calls(here)
    assert {line.split()[-1] for line in before if int(line.split()[-1]) >= FRESH} == {"1000", "1001", "1002", "1003"}
    assert told("confirm=4")[0] == cut[0]
    assert told() == cut
    assert calls(here) == before
    assert cut[1] in command("status", "mine").out
    assert not told("confirm=8")[0].startswith("handed over: the start"), "more seeds are a look that was asked for"
    assert {line.split()[-1] for line in calls(here)[len(before) :]} == {"1004", "1005", "1006", "1007"}


def test_differences_that_are_rounding_errors_have_no_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The luck of a fresh seed is the same everywhere, so that only the rounding of sums is left."""

    def train(lr: float, wd: float, seed: int) -> float:
        luck = noise(lr, wd, seed) if seed < FRESH else noise(seed)
        return 3 * luck + 0.08 * math.log2(lr / 0.1)

    result = tune(train, direction="maximize", progress=True, ranges={"lr": (0.025, 0.4)})
    leads = verdict_of(result).leads
    assert leads
    told = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("confirmed") and "start by" in line
    ]
    assert len(told) == len(leads)
    assert all(" ± 0 (standard error" in line for line in told)
    assert all(lead.error == 0 for lead in leads.values())


def test_values_that_differ_by_rounding_errors_have_no_standard_deviation() -> None:
    def train(lr: float, wd: float, seed: int) -> float:
        return hill(lr, wd, seed) if seed < FRESH else (0.1 + 0.2 if seed % 2 else 0.3) + (lr > 0.1)

    assert "e-" not in "".join(line for line in repr(tune(train)).splitlines() if line.startswith("confirmed"))


@pytest.mark.slow
def test_in_short_time_the_incumbent_races_alone() -> None:
    noted = Noting(lambda lr, wd, seed: time.sleep(0.5 if seed < FRESH else 0.0) or hill(lr, wd, seed))
    tune(noted, storage="study.log", confirm=0)
    result = tune(noted, storage="study.log", minutes=11 * 0.5 / 60)  # twelve runs would decide on both candidates
    assert set(result.confirmed) == {START, "incumbent"}
    assert (verdict_of(result).handed_over, verdict_of(result).confirmed) == ("incumbent", True)
    whole = tune(noted, storage="study.log")
    assert "runner-up" in whole.confirmed
    assert verdict_of(tune(noted, storage="study.log", minutes=1e-9)) == verdict_of(whole), "what was decided stays"


@pytest.mark.parametrize("where", ["candidates", "start"])
def test_who_diverges_loses(where: str) -> None:
    def train(lr: float, wd: float, seed: int) -> float:
        lost = seed >= FRESH and (lr == 0.1 and wd == 5e-4) == (where == "start")
        return math.nan if lost else hill(lr, wd, seed)

    result = tune(train)
    verdict = verdict_of(result)
    assert verdict.keeps_start == (where == "candidates")
    leads = verdict.leads
    assert not any(lead.valued for lead in leads.values())
    if where == "candidates":
        assert all((lead.lost, lead.won) == (1, 0) for lead in leads.values()), "out at once"
    else:
        assert (leads[verdict.handed_over].lost, leads[verdict.handed_over].won) == (0, 6)
    assert verdict.sentence in str(result)


@pytest.mark.parametrize("deterministic", [True, None])
def test_without_noise_the_best_observed_is_handed_over_if_it_is_better(deterministic: bool | None) -> None:
    def exact(lr: float) -> float:
        return 94.125 - math.log2(lr / 0.3) ** 2

    exactly = functools.partial(flatdirs.tune, start={"lr": 0.1}, direction="maximize", budget=10, progress=False)
    found = exactly(exact, deterministic=deterministic)
    assert verdict_of(found).basis == "deterministic"
    assert found.confirmed == {}
    assert found.best_observed is not None
    assert found.best == found.best_observed.settings != {"lr": 0.1}
    level = exactly(lambda lr: 94.125, deterministic=deterministic, study="level")
    assert (verdict_of(level).handed_over, level.best) == (START, {"lr": 0.1})


def test_confirm_0_hands_over_the_searchs_own_best_and_says_so(here: Path) -> None:
    noted = Noting(hill)
    result = tune(noted, confirm=0)
    verdict = verdict_of(result)
    assert not noted.race
    assert result.confirmed == {}
    assert (verdict.basis, verdict.handed_over, verdict.confirmed) == ("unconfirmed", "incumbent", False)
    assert result.best_expected is not None
    assert result.best == result.best_expected.settings == held(here)
    assert "unconfirmed" in verdict.sentence


def test_where_only_the_start_was_run_it_is_kept() -> None:
    noted = Noting(hill)
    verdict = verdict_of(tune(noted, budget=1))
    assert (verdict.handed_over, verdict.run, verdict.confirmed) == (START, 1, True)
    assert not noted.race


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_too_few_seeds_to_decide_are_refused_before_the_first_run(seeds: int) -> None:
    noted = Noting(hill)
    with refused(ConfigError, "confirm"):
        tune(noted, confirm=seeds)
    assert not noted.calls


def test_where_the_start_is_the_incumbent_the_runner_up_races_it() -> None:
    result = tune(lambda lr, wd, seed: -(math.log2(lr / 0.1) ** 2) - abs(math.log2(wd / 5e-4)) + noise(lr, seed) / 10)
    assert result.best_expected is not None
    assert result.best_expected.settings == BEGIN == result.best
    assert set(result.confirmed) == {START, "runner-up"}
    assert "keep your settings" in verdict_of(result).sentence


def test_minimising_hands_over_the_same() -> None:
    up = tune(hill)
    down = tune(lambda lr, wd, seed: -hill(lr, wd, seed), direction="minimize", study="down")
    assert down.best == up.best
    assert verdict_of(down).leads == verdict_of(up).leads


def test_a_baseline_races_against_a_start_that_it_need_not_have_run() -> None:
    result = tune(overfit, search="random", ranges={"lr": (0.1, 1.0), "wd": (1e-4, 1e-3)})
    verdict = verdict_of(result)
    assert verdict.keeps_start
    assert verdict.run is None
    assert result.best == BEGIN
    assert all(one.settings != BEGIN for one in result.tuned)


def test_choices_are_handed_over_too() -> None:
    def train(lr: float, act: str, seed: int) -> float:
        return 90 + 3 * (act == "gelu") - math.log2(lr / 0.1) ** 2 + 0.1 * noise(lr, act, seed)

    result = flatdirs.tune(
        train, {"lr": 0.1}, choices={"act": ["relu", "gelu"]}, direction="maximize", budget=16, progress=False
    )
    assert result.best is not None
    assert result.best["act"] == "gelu"
    assert verdict_of(result).confirmed
    level = flatdirs.tune(
        lambda lr, act, seed: train(lr, "", seed) - (act == "gelu"), {"lr": 0.1, "wd": 0.1},
        choices={"act": ["relu", "gelu"]},
        fixed=["wd"], direction="maximize", budget=8, study="level", progress=False,
    )  # fmt: skip
    assert level.best == {"lr": 0.1, "wd": 0.1, "act": "relu"} == level.tuned[verdict_of(level).run - 1].settings


@pytest.mark.slow
def test_everyone_who_reads_the_study_tells_the_same_until_it_goes_on(command: Command) -> None:
    result = tune(hill, storage="study.log")
    verdict = verdict_of(result)
    opened = optuna.load_study(study_name="mine", storage=open_at(storage_at("study.log", 30)))
    advice = flatdirs.recommend(opened)
    assert advice.handed_over == advice.params == result.best
    assert advice.verdict == verdict
    place = "storage.url=study.log"
    for reader in ("status", "analyze"):
        shown = command(reader, "mine", place)
        assert shown.code == 0, shown.err
        assert verdict.sentence in shown.out
        (line,) = (line for line in shown.out.splitlines() if line.startswith("handed over: "))
        assert line.startswith(f"handed over: the {verdict.handed_over}, run {verdict.run}, ")
    assert command("ask", "mine", place).code == 0
    assert command("tell", "mine", "9", "50.0", place).code == 0
    assert verdict.sentence not in command("status", "mine", place).out
    assert flatdirs.recommend(opened).handed_over is None


NOISY = """
import random
seed = int(sys.argv[-1])
better = math.log2(lr / 0.1) * SIGN
open(os.path.join(sys.argv[-3], 'model.txt'), 'w').write(str(lr))
print('val_acc', 0.9 + 0.01 * better + 0.0005 * random.Random(f'{lr} {seed}').gauss(0, 1))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "kept"), [("1", False), ("(1 if seed < 1000 else -1)", True)])
def test_a_commands_best_yaml_line_and_files_are_those_of_what_is_handed_over(
    here: Path, command: Command, sign: str, kept: bool
) -> None:
    words = [*python(here, NOISY.replace("SIGN", sign)), "--lr", "{lr:0.1:0.01:1}", "--out", "{run_dir}"]
    ended = command("tune", "metric=val_acc", "budget=4", "confirm=4", "study=mine", "--", *words, "--seed", "{seed}")
    assert ended.code == 0, ended.err
    (given,) = re.findall(r"^handed over: the (\S+), run (\d+), lr=(\S+)$", ended.out, re.MULTILINE)
    assert (given[0] == START) == kept
    assert ("keep your settings" in ended.out) == kept
    best = yaml.safe_load((here / "studies/mine/best.yaml").read_text(encoding="utf-8"))
    line = next(line for line in ended.out.splitlines() if line.startswith("run it: ")).removeprefix("run it: ")
    assert line == best["command"]
    assert best["lr"] == float(given[2]) == settings_of(study_in(here, "mine"))[int(given[1]) - 1]["lr"]
    assert float(shlex.split(line)[3]) == best["lr"]
    files = list(here.glob("studies/mine/runs/*/model.txt"))
    assert [path.parent.name for path in files] == [f"{int(given[1]):04d}"]
    assert float(files[0].read_text()) == best["lr"]
    assert f"{{lr:{given[2]}:0.01:1}}" in printed_command(ended.out, "start from it")
