"""Many workers on one search: no point is run twice at a time, nobody idles, and a killed worker leaves no trace."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from flatdirs import FlatDirectionsSampler
from flatdirs.backend.trial_runs import MOVE
from tests import workers
from tests.test_descent import SOURCE, bowl, search_on

PATH = search_on(bowl)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def expected() -> list[dict[str, float]]:
    assert PATH.grid is not None
    return [PATH.grid.hyperparameters(point) for point in PATH.asked]


def walked(study: optuna.Study) -> list[tuple[float, ...]]:
    """The points that were asked for by the search, not drawn at random."""
    return [tuple(trial.params.values()) for trial in study.trials if trial.user_attrs.get(MOVE) != "random"]


class TestThreads:
    @pytest.mark.slow
    @pytest.mark.parametrize("low", [1e-9, 0.01])
    def test_no_point_is_run_twice_and_idle_threads_run_ahead(self, low: float) -> None:
        """Also where the first range clips the start (low = 0.01), which no thread can know before it is shown."""
        lock, running, most, twice = threading.Lock(), list[tuple[float, ...]](), 0, list[tuple[float, ...]]()

        def objective(trial: optuna.Trial) -> float:
            nonlocal most
            values = {
                "lr": trial.suggest_float("lr", low, 1e3, log=True),
                "momentum": trial.suggest_float("momentum", 0.0, 0.9999),
                "wd": trial.suggest_float("wd", 1e-9, 1.0, log=True),
            }
            point = tuple(values.values())
            with lock:
                twice.extend(other for other in running if other == point)
                running.append(point)
                most = max(most, len(running))
            time.sleep(0.01 * (1 + trial.number % 3))
            with lock:
                running.remove(point)
            return bowl(values).value

        study = optuna.create_study(direction="maximize", sampler=workers.source_sampler())
        study.optimize(objective, n_trials=60, n_jobs=4)
        assert twice == []
        assert len(set(walked(study))) == len(walked(study))
        assert most == 4
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
        if low < 0.001:
            assert study.best_params == SOURCE[-1][1]
            assert {tuple(values.values()) for values in expected()} <= set(walked(study))

    def test_four_threads_need_fewer_rounds_than_one(self) -> None:
        """The line that goes on is run ahead: the winner, run 21 of one worker, comes within 12 rounds of four."""
        study = optuna.create_study(direction="maximize", sampler=workers.source_sampler())
        rounds = 0
        while rounds < 30 and (rounds == 0 or study.best_params != SOURCE[-1][1]):
            rounds += 1
            trials = [study.ask() for _ in range(4)]
            for trial, values in [(trial, workers.suggest(trial)) for trial in trials]:
                study.tell(trial, bowl(values).value)
        assert rounds <= 12

    def test_ranges_that_nobody_shows_are_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A batch asked for by one thread, none of it suggested yet, is not waited for at all."""
        study = optuna.create_study(direction="maximize", sampler=workers.source_sampler())
        waits: list[float] = []
        monkeypatch.setattr(time, "sleep", waits.append)
        trials = [study.ask() for _ in range(6)]
        assert waits == []
        assert len({tuple(workers.suggest(trial).values()) for trial in trials}) == 6


@pytest.mark.slow
class TestProcesses:
    def test_four_processes_on_one_journal_share_the_search(self, tmp_path: Path) -> None:
        team = [workers.start(tmp_path, trials=10, seconds=0.02) for _ in range(4)]
        for process in team:
            process.join(60)
        assert [process.exitcode for process in team] == [0, 0, 0, 0]
        study = workers.open_shared(tmp_path)
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 40
        assert len(set(walked(study))) == len(walked(study))
        claimed_by = {trial.system_attrs["flatdirs:claim"]["worker"]["pid"] for trial in study.trials}
        assert len(claimed_by) == 4
        assert study.best_value > 93.5

    @pytest.mark.parametrize("every", [1, 2, 3, 5])
    def test_killed_after_every_few_trials_the_sequence_is_that_of_an_uninterrupted_search(
        self, tmp_path: Path, every: int
    ) -> None:
        while len(counted(tmp_path)) < 26:
            assert workers.run(tmp_path, trials=every, then="kill") == -9
        assert counted(tmp_path)[:26] == expected()
        study = workers.open_shared(tmp_path)
        lost = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
        assert len(lost) == -(-26 // every)
        for trial in lost[:-1]:
            assert trial.params == study.trials[trial.number + 1].params

    def test_a_kill_on_sqlite_is_no_different(self, tmp_path: Path) -> None:
        for _ in range(2):
            assert workers.run(tmp_path, trials=3, then="kill", kind="sqlite") == -9
        assert counted(tmp_path, "sqlite") == expected()[:6]

    def test_a_point_held_by_a_living_process_is_left_to_it(self, tmp_path: Path) -> None:
        other = workers.start(tmp_path, trials=1, seconds=30.0)
        try:
            study = workers.open_shared(tmp_path)
            deadline = time.monotonic() + 20
            while not any(trial.params for trial in study.trials) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert workers.suggest(study.ask())["lr"] == 0.002
        finally:
            other.kill()
            other.join()
        assert workers.suggest(study.ask())["lr"] == 0.001


def counted(folder: Path, kind: str = "journal") -> list[dict[str, float]]:
    """The points of the trials that count, in order."""
    study = workers.open_shared(folder, kind)
    return [trial.params for trial in study.trials if trial.state == TrialState.COMPLETE]


def runs(study: optuna.Study) -> list[tuple[float, ...]]:
    """The runs of a study, repeats told apart."""
    claimed = [trial.system_attrs["flatdirs:claim"] for trial in study.trials]
    return [(*t.params.values(), c.get("replicate", 0)) for t, c in zip(study.trials, claimed, strict=True)]


class TestFlatdirs:
    def test_threads_run_nothing_twice_and_lose_nothing(self) -> None:
        study = optuna.create_study(direction="maximize", sampler=FlatDirectionsSampler(seed=0))
        lock, running, most = threading.Lock(), 0, 0

        def objective(trial: optuna.Trial) -> float:
            nonlocal running, most
            values = workers.suggest(trial)
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01 * (1 + trial.number % 3))
            with lock:
                running -= 1
            return bowl(values).value

        study.optimize(objective, n_trials=40, n_jobs=4)
        assert most == 4
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
        assert len(set(runs(study))) == 40
        assert study.best_value > 93.9

    def test_four_at_a_time_are_near_in_few_rounds(self) -> None:
        study = optuna.create_study(direction="maximize", sampler=FlatDirectionsSampler(seed=0))
        for _ in range(6):
            trials = [study.ask() for _ in range(4)]
            for trial, values in [(trial, workers.suggest(trial)) for trial in trials]:
                study.tell(trial, bowl(values).value)
        assert study.best_value > 93.06
        assert len(set(runs(study))) == 24

    @pytest.mark.slow
    def test_four_processes_on_one_journal(self, tmp_path: Path) -> None:
        team = [workers.start(tmp_path, trials=8, seconds=0.02, search="flatdirs") for _ in range(4)]
        for process in team:
            process.join(60)
        assert [process.exitcode for process in team] == [0, 0, 0, 0]
        study = workers.open_shared(tmp_path, search="flatdirs")
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 32
        assert len(set(runs(study))) == 32
        assert study.best_value > 93.5

    @pytest.mark.slow
    @pytest.mark.parametrize("every", [1, 4])
    @pytest.mark.parametrize("kind", ["journal", "sqlite"])
    def test_killed_after_every_few_trials_it_is_an_uninterrupted_search(
        self, tmp_path: Path, every: int, kind: str
    ) -> None:
        whole = optuna.create_study(direction="maximize", sampler=workers.source_sampler(search="flatdirs"))
        whole.optimize(lambda trial: bowl(workers.suggest(trial)).value, n_trials=12)
        study = workers.open_shared(tmp_path, kind, "flatdirs")
        while sum(trial.state == TrialState.COMPLETE for trial in study.trials) < 12:
            assert workers.run(tmp_path, trials=every, then="kill", kind=kind, search="flatdirs") == -9
        assert counted(tmp_path, kind)[:12] == [trial.params for trial in whole.trials]
