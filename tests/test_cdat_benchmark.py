"""benchmarks/cdat: the plan ends and resumes, a look leaves the run as it was, and the page follows from the rows."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmarks import rows
from benchmarks.cdat import __main__ as command
from benchmarks.cdat import claims, page, plan, starts, step_cost, training
from benchmarks.cdat.plan import Run
from flatdirs.curvature.cdat import CDAT
from flatdirs.curvature.stability import BASES
from flatdirs.training.task import DataConfig
from flatdirs.tuning.cdat_start import SIGMA

BASE = Run("full_batch", "compare", "digits_mlp", "gd")
CPU = torch.device("cpu")


def row(run: Run, end: float = 0.1, **other: Any) -> dict[str, Any]:
    """A row of a run that ended at `end`; infinite: diverged."""
    state, curve = "diverged" if math.isinf(end) else "finished", "1:1:0.1;200:0.5:0.2;600:0.1:0.3"
    measured = {"steps": run.steps, "state": state, "initial_loss": "1", "end_loss": end, "end_sharpness": ""}
    return {**run.cells(), **measured, "curve": curve, "looks": "", "seconds": "1", "made": "x", **other}


def looks(*each: tuple[float, float, float]) -> str:
    """(lr, sharpness, gain of σ = 1) of looks at which σ = 2 gains 0 and line search the opposite."""
    return ";".join(f"{i}:{lr}:1:{s}:1:0.5:{gain}:0:nan:{-gain}:{lr}" for i, (lr, s, gain) in enumerate(each, 1))


def read(folder: Path, table: list[dict[str, Any]]) -> pd.DataFrame:
    """A folder with these runs, as claims read it."""
    rows.write(folder / "runs.csv", list(table[0]), table)
    return claims.read(folder)


def verdicts(asked: Any) -> dict[str, tuple[list[Any], list[float]]]:
    """By claim: what each case came to, and the first of its numbers."""
    return {one.key: (one.held.tolist(), next(iter(one.numbers.values())).round(3).tolist()) for one in asked}


def full_batch_rows(base: str = "gd", greedy_end: float = 0.4) -> list[dict[str, Any]]:
    """A case in which the constant lr ends at 0.1, σ = 1 at `greedy_end` and σ = 2 at 0.05."""
    own = "1:0.1:1:5:1:0.5:0.3:0:0.2:0.1:0.1;2:0.1:1:5:1:0.5:0.3:0:0.4:0.5:0.1"
    run = BASE._replace(base=base)
    found = [row(run._replace(value=0.1), looks=own), row(run._replace(method="schedule", value=0.2), 0.04)]
    snowball = looks((0.4, 3.0, 0.2), (0.2, 6.0, 0.1), (0.1, 12.0, 0.1))
    found += [row(run._replace(method="linesearch"), math.inf, looks=snowball)]
    found += [row(run._replace(method="cdat", value=1.0), greedy_end, looks=snowball)]
    on_edge = looks((0.4, 5.0, 0.2), (0.5, 4.0, -0.1), (0.5, 4.0, 0.1))
    return [*found, row(run._replace(method="cdat", value=2.0), 0.05, looks=on_edge)]


@pytest.mark.parametrize("best", [-9, -3, 2])
def test_a_grid_ends_where_the_best_has_both_neighbours(best: int) -> None:
    losses: dict[Run, float] = {}
    while (answer := plan.tuning(BASE, losses))[1] is None:
        exponents = {run: round(4 * math.log10(run.value)) for run in answer[0]}
        losses |= {run: math.inf if k > best + 2 else 1.0 + (k - best) ** 2 for run, k in exponents.items()}
    assert answer == ([], best)
    assert {plan.rate(best - 1), plan.rate(best + 1)} <= {run.value for run in losses}


def test_the_plan_ends_without_repeating_itself() -> None:
    losses: dict[Run, float] = {}
    while wanted := plan.wanted(losses, cifar10=True):
        assert len(wanted) == len(set(wanted))
        losses |= {run: (math.log10(run.value) + 1) ** 2 if run.value else 1.0 for run in wanted}
    compared = [run for run in losses if run.role == "compare" and run.part == "full_batch"]
    assert len(compared) == 5 * 3 * 5 * plan.SEEDS
    assert {run.problem for run in plan.wanted({}, cifar10=False)} == {"digits_mlp", "digits_resnet"}


def test_all_rows_on_file_are_of_the_plan_and_none_is_missing() -> None:
    losses = plan.end_losses(pd.read_csv(page.HERE / "runs.csv", dtype=str).to_dict("records"))
    assert not plan.wanted(losses, cifar10=True)
    for part in starts.KEYS:
        table = pd.read_csv(page.HERE / f"{part}.csv", dtype=str, keep_default_na=False).to_dict("records")
        assert not starts.wanted(part, page.HERE, True, table)


def test_a_second_call_makes_only_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"

    def wanted(table: Any) -> list[int]:
        return [n for n in (3, 1, 2) if str(n) not in {one["n"] for one in table}]

    for budget, there in ((2, ["3", "1"]), (None, ["3", "1", "2"])):
        rows.fill(path, wanted, lambda n: {"n": n}, {"torch": "9"}, budget)
        assert [one["n"] for one in rows.read(path)] == there


@pytest.mark.slow
def test_the_command_makes_the_missing_row_and_draws_the_page(tmp_path: Path) -> None:
    for path in (*page.HERE.glob("*.csv"), page.HERE / "step_cost.json"):
        shutil.copy(path, tmp_path)
    before = rows.read(tmp_path / "start.csv")
    rows.write(tmp_path / "start.csv", list(before[0]), before[1:])
    assert command.main(["part=start", "device=cpu"], tmp_path) == 0
    (new,) = [one for one in rows.read(tmp_path / "start.csv") if one not in before[1:]]
    assert {key: new[key] for key in starts.KEYS["start"]} == {key: before[0][key] for key in starts.KEYS["start"]}
    assert "σ = 2 holds the edge" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_comparison_is_over_the_seeds_in_which_both_finished_where_these_are_most() -> None:
    lost = math.inf
    first = pd.DataFrame({"many": [8.0, 1.0, lost], "few": [1.0, lost, lost], "ahead": [2.0, 1.0, 1.0]}).unstack()
    second = pd.DataFrame({"many": [2.0, 1.0, 1.0], "few": [2.0, 2.0, lost], "ahead": [lost, lost, 1.0]}).unstack()
    found = claims.compare(first, second)
    assert found["mean"].tolist() == pytest.approx([2.0, math.nan, math.nan], nan_ok=True)
    assert found["ratio"].tolist() == pytest.approx([2.0, math.inf, 0.0])
    assert found["lost"].tolist() == [1, 3, 2]


def test_claims_of_the_full_batch_hold_where_the_numbers_say_so(tmp_path: Path) -> None:
    runs = read(tmp_path, [*full_batch_rows(), *full_batch_rows("rmsprop", greedy_end=0.02)])
    asked = list(claims.full_batch(runs))
    found = verdicts(asked)
    assert found["sigma1_step_constant"] == ([False, False], [0.5, 0.5])  # 0.3 against 0.2 and 0.4
    assert found["sigma1_loses"] == ([True, False], [4.0, 0.2])
    assert found["linesearch_loses"][0] == [True, True]  # diverged
    assert found["sigma1_falls"] == ([True, True], [0.25, 0.25])
    assert found["sigma1_below"] == ([True, True], [0.6, 0.6])
    assert found["edge"] == ([True, True], [1.0, 1.0])
    assert found["warm_up"] == ([False, False], [2.0, 2.0])  # the peak is at the end
    assert found["matches_constant"] == ([True, True], [0.5, 0.5])
    assert found["matches_schedule"] == ([False, False], [1.25, 1.25])
    told = page.verdict(next(claim for claim in asked if claim.key == "sigma1_loses"))
    assert (told["holds"], told["squared"], told["cross entropy"]) == ("1 of 2", "1 of 2", "–")
    assert "2.1 [0.2, 4]" in told["number: median [lowest, highest case]"]
    ends = page.end_losses(runs.assign(end=runs["end"].where(runs["end"] != 0.4, 1.5)))
    assert ends["σ = 1"].tolist()[:2] == ["1.5 (1 not trained)", "0.02"]


def test_claims_of_mini_batches(tmp_path: Path) -> None:
    table = []
    for ema, small in ((0.0, 0.5), (0.9, 2.0)):
        for batch, best in ((8, small), (128, 2.0), (300, 0.5)):
            run = Run("mini_batch", "compare", "digits_mlp", "gd", "cdat", batch=batch, ema=ema)
            table += [row(run._replace(value=sigma), 0.1 if sigma == best else 0.3) for sigma in (0.5, 2.0)]
    constant = Run("mini_batch", "compare", "digits_mlp", "gd", value=0.1)
    table += [row(constant._replace(batch=batch), end_sharpness=s) for batch, s in ((8, "3"), (300, "5"))]
    found = verdicts(claims.mini_batch(read(tmp_path, table)))
    assert found["falls"] == ([True, False], [0.5, 0.0])  # the full batch is no mini-batch
    assert (found["flatten"], found["sharper"]) == (([True], [0.0]), ([True], [0.6]))


def test_a_gain_is_in_octaves_and_undecided_where_there_is_none(tmp_path: Path) -> None:
    ends = {"": 0.025, "width": 0.05, "depth": 0.1, "decay": 0.1, "images": 0.2}
    table = []
    for varied in plan.VARIATIONS:
        run = Run("sensitivity", "compare", "digits_mlp", "gd")._replace(**varied)
        end = ends[next(iter(varied), "")] * (0.5 if varied.get("width") == 256 else 1)
        table += [row(run), row(run._replace(method="cdat", value=2.0), math.inf if varied == {"depth": 4} else end)]
    found = verdicts(claims.variations(read(tmp_path, table)))
    assert found["erases"] == ([True, True], [-2.0, -2.0])
    assert found["width"] == ([True], [1.0])
    assert found["depth"][0] == [None]
    assert found["images"] == ([False], [0.0])


def test_the_edges_of_the_bases_are_those_of_the_package() -> None:
    for base, critical in plan.CRITICAL.items():
        group = CDAT([torch.nn.Parameter(torch.zeros(1))], base).param_groups[0]
        assert BASES[base].critical(group) == pytest.approx(critical)


def test_starts_are_judged_by_two_standard_errors_and_sigma_by_the_worse_off_base() -> None:
    gaps = {"digits": (-0.5, -0.4, -0.6), "digits_adamw": (1.0, 1.2, 0.8), "cifar10_small": (-1.0, 1.0, 0.1)}
    table = pd.DataFrame([{"lattice": name, "cdat_value": 90 + gap} for name, each in gaps.items() for gap in each])
    numbers = {"sigma": SIGMA, "run_steps": 100, "edge_steps": 60, "best": 95.0, "step_sampling": 0.2}
    found = page.starts(table.assign(**numbers, rates="0.1;0.1", step_sampling_cost=100, step_sampling_value=90))
    assert (found["start_digits"], found["worst_0.25"]) == ("-0.50 ± 0.06", "0.50")
    verdict = [line.split("|")[7].strip() for line in found["starts"].splitlines()[2:]]
    assert verdict == ["not distinguishable", "worse", "better"]
    means = [("sgd", 0.25, 95.0), ("sgd", 0.5, 96.0), ("adamw", 0.25, 96.0), ("adamw", 0.5, 90.0)]
    tried = pd.DataFrame(means, columns=["base", "sigma", "accuracy"]).assign(task="digits")
    assert page.sigma_start(tried).iloc[-1].tolist() == ["larger shortfall", 1.0, 6.0]


def test_trying_the_steps_leaves_the_run_as_it_was_and_sees_the_parabola() -> None:
    model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    goal = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    found = training.Ground(model, goal, goal, lambda _, y: (model.weight - y).square().sum())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before, loss = model.weight.detach().clone(), float(found.on().detach())
    gains = training.gains(BASE._replace(value=0.25), optimizer, found)
    assert torch.equal(model.weight, before)
    assert not optimizer.state
    # σ = 1 ends at the minimum, σ = 2 as high as it began; lr 0.25 halves the distance, 1.5 × 0.1 leaves 0.7 of it
    assert gains == pytest.approx([loss, 0.0, 0.75 * loss, loss * (1 - 0.7**2)], rel=1e-4, abs=1e-4 * loss)


@pytest.mark.parametrize("method", ["constant", "schedule", "linesearch", "cdat"])
def test_a_short_run_fills_a_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str) -> None:
    short = plan.PROBLEMS["digits_mlp"]._replace(steps=6, every=3, images=40, width=8)
    monkeypatch.setitem(plan.PROBLEMS, "digits_mlp", short)
    monkeypatch.setattr(plan, "SMALL_STEPS", 4)
    run = BASE._replace(method=method, value={"cdat": 1.0, "linesearch": 0.0}.get(method, 0.1))
    mini = run._replace(part="mini_batch", batch=8)
    told = [{**one.cells(), **training.train(one, DataConfig(), CPU), "made": ""} for one in (run, mini)]
    assert list(told[0]) == list(row(run))
    found = read(tmp_path, told)
    assert (found["end"] < found["initial_loss"]).all()
    assert claims.looks_of(found)["step"].tolist() == [3, 6]
    assert found["end_sharpness"].tolist()[1] > 0


@pytest.mark.slow
def test_a_step_is_timed_beside_a_plain_one() -> None:
    found = step_cost.measure("digits", "nesterov fp32", 2, CPU)
    assert list(found["ratios"]) == ["CDAT", "quick=False", "every=4"]
    assert all(low <= middle <= high for low, middle, high in found["ratios"].values())
