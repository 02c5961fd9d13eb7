"""What the default search tells its user: why each run is made, which is the best and why, what to do with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

from flatdirs.backend.storages import open_storage
from flatdirs.backend.study import Study, view_study
from flatdirs.backend.table_rows import rows, significant, winner
from flatdirs.backend.trial_runs import REASON
from flatdirs.report.findings import finding_lines
from flatdirs.report.tables import print_runs, runs_table
from flatdirs.search.flatness import Findings, Flatness
from tests.conftest import Ended, module_of

Command = Callable[..., Ended]

NOISY = """
import math, random

def noise(lr, seed):
    return random.Random(f"{lr!r} {seed}").gauss(0, 1)

def train(lr, momentum, wd, seed):
    return OFFSET - math.log2(lr * wd / (1 - momentum) / 0.002) ** 2 + noise(lr, seed)

def rate(lr, seed):
    return -math.log2(lr / 0.01) ** 2 + 0.3 * noise(lr, seed)

def loss(lr, momentum, wd, seed):
    return -train(lr, momentum, wd, seed)

def nan(lr, momentum, wd):
    return math.nan

def broken(lr, momentum, wd):
    raise KeyError("labels")

def overfit(lr, momentum, wd, seed):
    # good beyond the start for the seeds of the search; for fresh ones the start is best
    off = math.log2(lr / 0.1)
    return 90 - off ** 2 if seed >= 1000 else 90 + off
"""


def tuned(folder: Path, command: Command, function: str, *words: str, offset: float = 90.0) -> str:
    """What `tune` prints for one of the functions above."""
    name = f"{module_of(folder)}_words"
    (folder / f"{name}.py").write_text(NOISY.replace("OFFSET", repr(offset)), encoding="utf-8")
    usual = ["task=callable", f"task.function={name}:{function}", "confirm=0", "study=words", "live=false"]
    ended = command("tune", *usual, *words)
    assert ended.code == 0, ended.err
    return ended.out


def opened(folder: Path) -> Study:
    return view_study(open_storage("journal", folder / "studies/words"), "words")


def shown(study: Study, width: int, terminal: bool = True) -> str:
    console = Console(file=StringIO(), width=width, force_terminal=terminal, no_color=True, highlight=False)
    print_runs(console, study.plan.grid.chart, rows(study), "")
    assert isinstance(console.file, StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())


def test_the_best_line_says_what_is_expected_and_what_was_seen(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "train", "budget=14")
    study = opened(workplace)
    best, values = winner(study), [row.value for row in rows(study) if row.value is not None]
    assert best is not None
    line = next(line for line in out.splitlines() if line.startswith("best: "))
    assert f"best: run {best.run} of 14" in line
    findings = study.findings()
    assert findings is not None
    assert findings.expected is not None
    assert findings.best == best.point
    told = re.search(r"expected ([\d.]+)[;)]", line)
    assert told is not None
    assert float(told[1]) == pytest.approx(findings.expected, abs=0.6 * 10.0 ** -len(told[1].partition(".")[2]))
    own = [row.value for row in rows(study) if row.hyperparameters == best.hyperparameters and row.value is not None]
    assert best.runs == len(own)
    assert best.mean == pytest.approx(np.mean(own))
    assert (best.seen is None) == (max(values) in own)
    if best.seen is not None:
        assert best.seen == (values.index(max(values)) + 1, max(values))
        seen = re.search(rf"best observed ([\d.]+) in run {best.seen[0]}\b", line)
        assert seen is not None
        assert float(seen[1]) == pytest.approx(max(values), abs=0.6 * 10.0 ** -len(seen[1].partition(".")[2]))


@pytest.mark.slow
def test_a_search_that_minimises_says_the_same_the_other_way_round(workplace: Path, command: Command) -> None:
    up = tuned(workplace, command, "train", "budget=8")
    down = tuned(workplace, command, "loss", "budget=8", "direction=minimize", "study=down")

    def told(out: str) -> list[str]:
        return [line.partition("  why: ")[2] for line in out.splitlines() if line.startswith("run ")]

    assert told(up) == told(down)
    best = next(line for line in down.splitlines() if line.startswith("best: "))
    assert best.split(",")[1].strip().startswith("-")


@pytest.mark.slow
def test_a_repeated_best_shows_the_mean_of_its_runs(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "rate", "budget=18")
    best = winner(opened(workplace))
    assert best is not None
    assert best.runs > 1
    assert best.mean is not None
    told = re.search(rf"^best: .*, ([\d.]+) \(mean of {best.runs} runs", out, re.MULTILINE)
    assert told is not None
    assert float(told[1]) == pytest.approx(best.mean, abs=0.01)
    head = (workplace / "studies/words/best.yaml").read_text(encoding="utf-8").splitlines()[2]
    assert f"(mean of {best.runs} runs" in head
    assert "lr·wd" not in out, "momentum and decay play no part"
    assert "lr ×4" in out


@pytest.mark.slow
def test_no_row_contradicts_itself(workplace: Path, command: Command) -> None:
    tuned(workplace, command, "train", "budget=14")
    table = rows(opened(workplace))
    for row in table[1:]:
        assert row.change is not None
        assert row.verdict == ("better" if row.change > 0 else "worse" if row.change < 0 else "tie")
    assert {row.verdict for row in table} >= {"start", "better", "worse"}


def test_without_a_terminal_every_run_says_why(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "train", "budget=6")
    lines = [line for line in out.splitlines() if line.startswith("run ")]
    reasons = [trial.user_attrs[REASON] for trial in opened(workplace).trials()]
    assert len(lines) == len(reasons) == 6
    for line, reason, row in zip(lines, reasons, rows(opened(workplace)), strict=True):
        assert line.endswith("why: " + reason.removeprefix(f"{row.move}: "))
        assert line.count(row.move) == 1 or row.move in ("start", "replicate"), "the move is told once"
    status = command("status", "study=words").out
    assert [line for line in status.splitlines() if line.startswith("run ")] == lines


def test_a_terminal_shows_as_much_of_the_reasons_as_it_has_room_for(workplace: Path, command: Command) -> None:
    tuned(workplace, command, "train", "budget=6")
    study = opened(workplace)
    chart, table = study.plan.grid.chart, rows(study)
    wide, middle, narrow = (shown(study, width) for width in (400, 100, 80))
    assert all(row.reason.removeprefix(f"{row.move}: ") in wide for row in table)
    assert "…" in middle
    assert "why run 1: the start" in narrow
    assert "why run 1: the start" in shown(study, 121), "a table without room for the column"
    assert all(len(line) <= width for text, width in ((middle, 100), (narrow, 80)) for line in text.splitlines())
    assert not isinstance(runs_table(chart, table, "", width=60), type(runs_table(chart, table, "", width=400)))


@pytest.mark.slow
def test_values_with_a_large_offset_can_be_told_apart(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "train", "budget=8", "confirm=4", offset=1e9)
    lines = [line for line in out.splitlines() if line.startswith(("run ", "best: ", "confirmed"))]
    assert all(re.search(r"\b(1000000\d\d\d|999999\d\d\d)(\.\d+)?\b", line) for line in lines), out
    assert "1e+09" not in out
    assert "e+09" not in (workplace / "studies/words/best.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([], 6),
        ([None, 0.0], 6),
        ([0.5, 0.7, 0.9], 6),
        ([1e9 + 1, 1e9 + 2, 1e9 + 3], 12),
        ([1e9 + 1, 1e9 + 2, 1e9 + 3, 1.0], 12),
        ([1e9], 12),
        ([1.0, 1.0 + 1e-9], 12),
        ([1.0, 1.0 + 2e-16], 17),
        ([0.0, 1e-310], 6),
        ([-1e308, 1e308], 17),
    ],
)
def test_the_values_seen_decide_on_the_digits(values: list[float | None], digits: int) -> None:
    found = significant(values)
    assert found == digits
    close = sorted({value for value in values if value is not None})
    assert len({f"{value:.{found}g}" for value in close}) == len(close)


@pytest.mark.slow
def test_runs_that_all_fail_name_the_rates_and_the_function(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "nan", "budget=6")
    line = next(line for line in out.splitlines() if line.startswith("all 6 runs failed"))
    assert re.search(r" lr from \S+e-\d+ to 0\.1; check \S+:nan", line)
    assert "smaller" not in line
    out = tuned(workplace, command, "nan", "budget=2", "study=two")
    assert "try a smaller start.lr" in out
    out = tuned(workplace, command, "nan", "budget=1", "study=three", "search=random")
    assert "try a smaller box.lr" in out


def test_an_exception_that_was_caught_is_quoted(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "broken", "budget=5", "task.catch=true")
    assert re.search(r"all 5 runs failed.* lr .*:broken.* KeyError: 'labels'", out)
    assert "KeyError: 'labels'" in command("status", "study=words").out


@pytest.mark.slow
def test_a_search_that_fresh_seeds_refute_keeps_the_start(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "overfit", "budget=6", "confirm=4")
    lines = out.splitlines()
    answer = lines.index("keep your settings: nothing found in 6 runs is distinguishably better")
    assert lines[answer - 1] == "handed over: the start, run 1, lr=0.1 momentum=0.9 wd=0.0005"
    assert lines[answer + 1].startswith("start from it: ")
    assert "winner" not in out
    head, _, settings = (workplace / "studies/words/best.yaml").read_text(encoding="utf-8").partition("\nlr:")
    assert f"# {lines[answer]}" in head
    assert settings.startswith(" 0.1\n"), "best.yaml holds what is handed over"
    best = next(line for line in lines if line.startswith("best: ")).removeprefix("best: ")
    assert best.startswith(head.partition("by its own runs: ")[2].splitlines()[0]), "what the search favours stays said"
    for reader in ("status", "analyze"):
        shown = command(reader, "study=words").out
        assert lines[answer - 1] in shown
        assert lines[answer] in shown


@pytest.mark.slow
def test_a_candidate_that_is_better_is_handed_over_alone(workplace: Path, command: Command) -> None:
    out = tuned(workplace, command, "train", "budget=12", "confirm=6")
    assert "keep your settings" not in out
    (given,) = (line for line in out.splitlines() if line.startswith("handed over: "))
    assert re.match(r"handed over: the (incumbent|runner-up), run \d+, lr=", given)
    held = yaml.safe_load((workplace / "studies/words/best.yaml").read_text(encoding="utf-8"))
    assert all(float(found) == held[name] for name, found in re.findall(r"(lr|momentum|wd)=(\S+)", given))
    assert re.search(r"^take the (incumbent|runner-up): better than the start by", out, re.MULTILINE)


def test_findings_say_better_or_worse_and_what_counts() -> None:
    flat = Flatness("lr·wd/(1−momentum)", 4.0, -1.0, -2.0, 0.5, 0.3, "×4")

    def lines(*steep: tuple[str, float]) -> list[str]:
        return finding_lines(Findings((0, 0, 0), 90.0, (flat,), steep), "%", replicated=True)

    assert "×4 is 1.00% worse (90 %: 2.00% worse to 0.50% better)" in lines()[0]
    assert "lr/(1−momentum) is what counts (probability 0.8)" in lines(("lr/(1−momentum)", 0.8), ("", 0.2))[-1]
    assert "(probability 0.99)" in lines(("lr", 1.0))[-1]
    assert "each hyperparameter" in lines(("", 0.6), ("lr", 0.4))[-1]
    assert not any("counts" in line for line in lines(("", 0.4), ("lr", 0.3), ("lr·wd", 0.3)))


@pytest.mark.slow
def test_seed_noise_is_told_where_some_setting_was_run_twice(workplace: Path, command: Command) -> None:
    once = tuned(workplace, command, "train", "budget=6")
    assert "along lr·wd/(1−momentum): " in once
    assert len({row.run for row in rows(opened(workplace))}) == len(settings(workplace))
    assert "seed noise" not in once
    twice = tuned(workplace, command, "train", "budget=12")
    assert len(settings(workplace)) < 12
    findings = opened(workplace).findings()
    assert findings is not None
    (line,) = (line for line in twice.splitlines() if line.startswith("seed noise: "))
    assert f"{findings.flatness[0].noise:.2g}" in line


def settings(folder: Path) -> set[str]:
    """The settings that were run, each once."""
    return {repr(row.hyperparameters) for row in rows(opened(folder))}
