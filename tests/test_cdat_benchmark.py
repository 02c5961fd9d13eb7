"""The benchmark of CDAT and its rivals: its plan grows and ends, resumes, and its claims are what the rows say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import rows
from benchmarks.cdat import (
    claims,
    findings,
    page,
    plan,
    running,
    sigma_start,
    start,
    start_page,
    tables,
    thinning,
    toy_runs,
    training,
    variations,
)
from benchmarks.cdat.findings import Evidence
from benchmarks.cdat.plan import Run
from flatdirs.curvature.cdat import CDAT
from flatdirs.curvature.stability import BASES
from flatdirs.training.task import DataConfig

BASE = Run("full_batch", "compare", "digits_mlp", "gd", "constant", 0.0, 0)


def row(run: Run, end: float = 0.1, **other: Any) -> dict[str, Any]:
    """A row of a run that ended at `end`; infinite: diverged."""
    diverged = math.isinf(end)
    measured = {
        "steps": run.steps,
        "state": "diverged" if diverged else "finished",
        "initial_loss": "1",
        "end_loss": "nan" if diverged else f"{end:.6g}",
        "end_sharpness": "",
        "curve": "1:1:0.1;200:0.5:0.2;300:0.1:0.3",
        "looks": "",
        "seconds": "1",
        "made": "x",
    }
    return {**run.cells(), **measured, **other}


def looks(*each: tuple[float, float, float]) -> str:
    """(rate, sharpness, gain of σ = 1) of looks with a gain of σ = 2 of 0, of line search of the opposite, no own."""
    return ";".join(
        f"{i}:{rate / 2}:1:{s}:1:0.5:{gain}:0:nan:{-gain}:{rate}" for i, (rate, s, gain) in enumerate(each, 1)
    )


def write(folder: Path, table: list[dict[str, Any]]) -> Evidence:
    """A folder with these runs."""
    rows.write(folder / "runs.csv", list(table[0]), table)
    return Evidence(folder)


def claim(evidence: Evidence, beginning: str) -> claims.Claim:
    """The one claim that begins so."""
    (found,) = [one for one in claims.every(evidence) if one.text.startswith(beginning)]
    return found


def test_a_row_gives_its_run_back() -> None:
    run = replace(BASE, value=plan.rate(-3), ema=0.9, decay=0.001, width=16, batch=8)
    assert plan.run_of(run.cells()) == run


@pytest.mark.parametrize("best", [-9, -3, 2])
def test_a_grid_ends_where_the_best_has_both_neighbours(best: int) -> None:
    losses: dict[Run, float] = {}
    while (answer := plan.tuning(BASE, plan.COARSE["gd"], losses))[1] is None:
        for run in answer[0]:
            exponent = round(plan.PER_DECADE * math.log10(run.value))
            losses[run] = math.inf if exponent > best + 2 else 1.0 + (exponent - best) ** 2
    assert answer == ([], best)
    assert {plan.rate(best - 1), plan.rate(best + 1)} <= {run.value for run in losses}
    assert all(run.seed == 0 and run.role == "tune" for run in losses)


def test_the_plan_ends_without_repeating_itself_and_does_the_first_seed_first() -> None:
    losses: dict[Run, float] = {}
    while wanted := plan.wanted(losses, cifar10=True):
        assert len(wanted) == len(set(wanted))
        assert not losses.keys() & set(wanted)
        seeds = [run.seed for run in wanted if run.problem != "cifar10_resnet"]
        assert seeds == sorted(seeds)
        for run in wanted:
            losses[run] = (math.log10(run.value) + 1) ** 2 if run.value else 1.0
    compared = [run for run in losses if run.role == "compare" and run.part == "full_batch"]
    assert len(compared) == len(plan.PROBLEMS) * len(plan.BASES) * len(plan.RIVALS) * plan.SEEDS


def test_without_cifar10_nothing_wants_its_images() -> None:
    assert all("cifar10" not in run.problem for run in plan.wanted({}, cifar10=False))
    assert {run.part for run in plan.wanted({}, cifar10=False, only="sensitivity")} == {"sensitivity"}


def test_a_second_call_makes_only_what_is_missing(tmp_path: Path) -> None:
    path, made = tmp_path / "x.csv", []

    def wanted(table: running.Table) -> list[int]:
        known = {int(one["n"]) for one in table}
        return [n for n in (3, 1, 2) if n not in known]

    def make(n: int) -> dict[str, Any]:
        made.append(n)
        return {"n": n}

    assert running.fill(path, wanted, make, {"torch": "9"}, lambda _: None, budget=2) == 2
    assert running.fill(path, wanted, make, {"torch": "9"}, lambda _: None) == 1
    assert made == [3, 1, 2]
    assert [one["n"] for one in running.read(path)] == ["3", "1", "2"]


def test_a_comparison_is_over_the_seeds_in_which_both_finished_where_these_are_most() -> None:
    lost = math.inf
    one = findings.compared([(8.0, 2.0), (1.0, 1.0), (lost, 1.0)])
    assert (one.mean, one.both, one.first, one.second, one.seeds) == (pytest.approx(2.0), 2, 1, 0, 3)
    assert one.told("2×", "σ = 1", "line search") == "2× (σ = 1 diverged with 1 of 3 seeds)"
    assert findings.compared([(8.0, 2.0), (2.0, 8.0)]).told("1×", "a", "b") == "1×"
    few = findings.compared([(1.0, 2.0), (lost, 2.0), (lost, lost)])
    assert (few.mean, few.ratio, few.behind) == (None, math.inf, 3)
    assert few.told("", "a", "b") == "no number, as a diverged with 2 of 3 seeds and b diverged with 1 of 3 seeds"
    assert findings.compared([(2.0, lost)]).ratio == 0.0
    assert math.isnan(findings.compared([(lost, lost)]).ratio)


@pytest.mark.slow
def test_claims_count_diverged_runs_in_words(tmp_path: Path) -> None:
    cdat = replace(BASE, method="cdat", value=2.0)
    table = [row(replace(BASE, seed=seed), math.inf if seed == 0 else 0.1) for seed in range(3)]
    table += [row(replace(cdat, seed=seed), 0.2) for seed in range(3)]
    table += [
        row(replace(one, base="adam", seed=seed), math.inf if one is BASE else 0.1)
        for one in (BASE, cdat)
        for seed in range(2)
    ]
    for name, value in (("width", 16), ("width", 256)):
        template = plan.varied(name, value)
        table += [
            row(template, math.inf if value == 16 else 0.1),
            row(replace(template, method="cdat", value=2.0), 0.05),
        ]
    evidence = write(tmp_path, table)
    beats = claim(evidence, "σ = 2 beats or matches a tuned constant").cases
    assert [case.held for case in beats] == [False, True]
    assert [case.values for case in beats] == [(pytest.approx(2.0),), (None,)]
    assert [case.lost for case in beats] == [f"the constant rate diverged with {n} seeds" for n in ("1 of 3", "2 of 2")]
    assert [case.seeds for case in beats] == [2, 2]
    wide = claim(evidence, "Width helps")
    assert (wide.verdict, wide.cases[0].held) == ("no verdict", None)
    assert wide.cases[0].numbers == "at 16 no number, as the constant rate diverged with 1 of 1 seeds, at 256 +1.00"
    text = str(page.results(tmp_path)["README.md"])
    assert "| gd, width 16 | – | – | – | – | 1 | the constant rate 1 |" in text
    assert "| none (2; 2 diverged) [0] |" in text
    assert "| ✗ 2× |" in text
    assert "| ✓ none |" in text
    assert not {"inf", "+inf", "nan", "0×"} & set(text.replace(";", " ").split())


def full_batch_rows(greedy_end: float) -> list[dict[str, Any]]:
    """One case, in which σ = 1 ends at `greedy_end`, the constant rate at 0.1 and σ = 2 at 0.05."""
    cdat = replace(BASE, method="cdat")
    snowball = looks((0.4, 3.0, 0.2), (0.2, 6.0, 0.1), (0.1, 12.0, 0.1))
    on_edge = looks((0.4, 5.0, 0.2), (0.5, 4.0, -0.1), (0.5, 4.0, 0.1))
    return [
        row(replace(BASE, value=0.1), looks="1:0.1:1:5:1:0.5:0.3:0:0.2:0.1:0.1;2:0.1:1:5:1:0.5:0.3:0:0.4:0.5:0.1"),
        row(replace(cdat, value=1.0), greedy_end, looks=snowball),
        row(replace(cdat, value=2.0), 0.05, looks=on_edge),
    ]


def test_claims_of_the_full_batch_hold_where_the_numbers_say_so(tmp_path: Path) -> None:
    evidence = write(tmp_path, full_batch_rows(0.4))
    greedy = claim(evidence, "σ = 1 loses")
    assert (greedy.verdict, greedy.of_loss("squared"), greedy.of_loss("cross_entropy")) == (
        "held (1 of 1)",
        "1 of 1",
        "–",
    )
    told = {one.short: one.cell("digits_mlp gd") for one in claims.every(evidence) if one.cases}
    assert told == {
        "σ1 step": "✗ 50 %",  # 0.3 against 0.2 and 0.4
        "ls step": "✗ 50 %",
        "σ1 step, σ2": "✓ 88 %",
        "ls step, σ2": "✗ 38 %",
        "σ1 loses": "✓ 4×",
        "σ1 snowball": "✓ 0.25×, 4×",
        "σ1 below": "✓ 0.60, 100 %",
        "σ2 edge": "✓ 1.00",
        "σ2 warm-up": "✗ 2×, 50 %",
        "σ2 constant": "✓ 0.5×",
    }
    assert claim(evidence, "Line search loses").verdict == "not measured"


def test_and_do_not_where_they_do_not(tmp_path: Path) -> None:
    evidence = write(tmp_path, full_batch_rows(0.02))
    assert claim(evidence, "σ = 1 loses").verdict == "did not hold (0 of 1)"
    other = [{**one, "base": "adam"} for one in full_batch_rows(0.4)]
    both = write(tmp_path, [*full_batch_rows(0.02), *other])
    greedy = claim(both, "σ = 1 loses")
    assert (greedy.verdict, greedy.numbers()) == ("held in 1 of 2", "end loss over the other's 2.1× (0.2× to 4×)")


@pytest.mark.parametrize(
    ("curve", "end", "held"),
    [
        ("1:1:0.1;200:0.5:0.2;600:0.1:0.1", 0.1, True),
        ("1:1:0.1;200:0.5:0.14;600:0.1:0.1", 0.1, False),  # grows too little
        ("1:1:0.1;400:0.5:0.2;600:0.1:0.3", 0.1, False),  # too late
        ("1:1:0.1;200:0.5:0.2;600:0.1:0.1", 1.5, False),  # ends above its beginning
    ],
)
def test_a_warm_up_grows_early_in_a_run_that_trains(tmp_path: Path, curve: str, end: float, held: bool) -> None:
    run = replace(BASE, method="cdat", value=2.0)
    curve = curve.replace("200:0.5:0.2;", "150:0.5:0.2;200:0.5:0.2;")
    evidence = write(tmp_path, [row(run, end, curve=curve)])
    assert [case.held for case in claim(evidence, "Its rate grows").cases] == [held]
    assert ("**1 not trained**" in "\n".join(tables.end_losses(evidence))) == (end > 1)


def test_claims_of_mini_batches(tmp_path: Path) -> None:
    table = []
    for ema, best_at_small in ((0.0, 0.5), (0.9, 2.0)):
        for sigma in (0.5, 2.0):
            for batch, best in ((8, best_at_small), (128, 2.0), (300, 0.5)):
                run = Run("mini_batch", "compare", "digits_mlp", "gd", "cdat", sigma, 0, batch, ema)
                table.append(row(run, (0.05 if batch == 300 else 0.1) if sigma == best else 0.3))
    constant = Run("mini_batch", "compare", "digits_mlp", "gd", "constant", 0.1, 0)
    table += [
        row(replace(constant, batch=batch), end_sharpness=str(sharp))
        for batch, sharp in ((8, 3.0), (32, 9.0), (300, 5.0))
    ]
    evidence = write(tmp_path, table)
    falls = claim(evidence, "The best σ falls")
    assert [(case.name, case.held) for case in falls.cases] == [("ema 0", True), ("ema 0.9", False)]
    assert falls.cases[0].numbers == "best σ 0.5, 2 (batch 8, 128); slope +0.50", "the full batch is none of them"
    flat = claim(evidence, "Averages")
    assert (flat.verdict, flat.cases[0].numbers) == ("held (1 of 1)", "slope +0.00 instead of +0.50")
    assert variations.corner(evidence) == (
        "The 2 best cells of both maps: the full batch with σ ≤ 0.5, 0.05 (ema 0, σ = 0.5, batch 300), "
        "0.05 (ema 0.9, σ = 0.5, batch 300); the best of the others is 0.1 (ema 0, σ = 0.5, batch 8)."
    )
    swapped = [{**one, "ema": {"0": "0.9", "0.9": "0"}[one["ema"]]} for one in table if one["method"] == "cdat"]
    assert claim(write(tmp_path, swapped), "Averages").verdict == "not answered: no slope to flatten"
    assert claim(evidence, "Sharpness is lower").verdict == "held (1 of 1)"


def test_claims_of_sensitivity(tmp_path: Path) -> None:
    table = []
    for name, value, end in (("width", 64, 0.025), ("width", 16, 0.05), ("width", 256, 0.0125), ("decay", 0.01, 0.1)):
        template = plan.varied(name, value)
        table += [row(template, 0.1), row(replace(template, method="cdat", value=2.0), end)]
    evidence = write(tmp_path, table)
    found = variations.gain(evidence, "width", 64)
    assert found is not None
    assert (found.octaves, found.compared.seeds) == (pytest.approx(2.0), 1)
    wide = claim(evidence, "Width helps")
    assert (wide.verdict, wide.cases[0].numbers) == ("held (1 of 1)", "at 16 +1.00, at 256 +3.00")
    assert claim(evidence, "Weight decay erases").verdict == "held (1 of 1)"
    assert variations.power(evidence) == "Unvaried, gd: σ = 2 gains +2.00 octaves."
    assert claim(evidence, "Depth helps").verdict == "not measured"


def test_where_there_is_no_gain_none_is_erased_and_seeds_have_a_range(tmp_path: Path) -> None:
    table = []
    for template, ends in ((plan.varied("width", 64), (0.1, 0.4)), (plan.varied("decay", 0.01), (0.2, 0.2))):
        for seed, end in enumerate(ends):
            run = replace(template, seed=seed)
            table += [row(run, 0.1), row(replace(run, method="cdat", value=2.0), end)]
    evidence = write(tmp_path, table)
    decay = claim(evidence, "Weight decay erases")
    assert decay.verdict == "no gain here to erase"
    assert decay.cases[0].numbers == "-1.00 (-1.00 to -1.00), without decay -1.00 (-2.00 to +0.00)"
    assert "no gain to begin with" in variations.power(evidence)


def test_the_edges_of_the_bases_are_those_of_the_package() -> None:
    weight = [torch.nn.Parameter(torch.zeros(1))]
    for base, critical in plan.CRITICAL.items():
        group = CDAT(weight, base).param_groups[0]
        assert BASES[base].critical(group) == pytest.approx(critical)


def test_the_toy_is_lost_follows_and_is_held(tmp_path: Path) -> None:
    table = toy_runs.rows()
    rows.write(tmp_path / "toy.csv", list(table[0]), table)
    evidence = Evidence(tmp_path)
    lost = claim(evidence, "Toy: a constant")
    assert lost.verdict == "did not hold (0 of 1)"
    assert lost.cases[0].numbers == "y passes 0 7 times in growing cycles, then is lost at step 777"
    for beginning in ("Toy: tuners", "Toy: σ = 2"):
        assert claim(evidence, beginning).verdict.startswith("held")
    assert "28.02" in claim(evidence, "Toy: tuners").cases[1].numbers


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    drawn = page.results(tmp_path)
    assert set(drawn) == {"README.md"}
    assert str(drawn["README.md"]).count("Not measured yet.") >= 6


@pytest.mark.slow
def test_every_part_is_drawn_from_its_rows(tmp_path: Path) -> None:
    mini = Run("mini_batch", "compare", "digits_mlp", "gd", "cdat", 1.0, 0, 8)
    wide = plan.varied("width", 16)
    write(
        tmp_path,
        [*full_batch_rows(0.4), row(mini), row(wide), row(replace(wide, method="cdat", value=2.0), math.inf)],
    )
    table = toy_runs.rows()
    rows.write(tmp_path / "toy.csv", list(table[0]), table)
    drawn = page.results(tmp_path)
    pictures = {"full_batch_digits_mlp.png", "one_step.png", "mini_batch.png", "sensitivity.png", "toy.png"}
    assert set(drawn) == {"README.md", *pictures}
    text = str(drawn["README.md"])
    assert all(f"({name})" in text for name in pictures)
    assert "| digits_mlp gd | 0.1 (1) [0.1] | – | – | 0.4 (1) | 0.05 (1) |" in text


def test_a_start_is_the_plateau_and_where_it_begins() -> None:
    rates = [0.01 * i for i in range(1, 21)] + [0.2] * 40
    assert start.from_rates(rates) == start.EdgeStart(0.2, 22)
    assert start.from_rates([0.0] * 10) is None
    assert start.from_rates([]) is None


def start_row(lattice: str, sigma: float, seed: int, points: float, rate: float = 0.1) -> dict[str, Any]:
    """A row of start.csv whose edge is so many points above step sampling's 90, about: seeds differ a little."""
    return {
        "lattice": lattice,
        "sigma": f"{sigma:g}",
        "seed": seed,
        "run_steps": 100,
        "edge_steps": 60,
        "best": "95",
        "step_sampling": "0.2",
        "step_sampling_cost": "50",
        "step_sampling_value": "90",
        "cdat_value": f"{90 + points + 0.01 * (seed - 1):.3f}",
        "cdat_fractions": "1:90;2:91",
        "rates": ";".join([f"{rate:g}"] * 60),
    }


def section_on_starts(folder: Path, points: dict[float, float], rate: float = 0.1, accuracies: Any = None) -> str:
    """The section on starts: σ → points of the edge, everywhere but for digits_adamw, where it is a point more."""
    table = [
        start_row(name, sigma, seed, gain + (name == "digits_adamw"), rate)
        for name in start.SURFACES
        for sigma, gain in points.items()
        for seed in range(3)
    ]
    rows.write(folder / "start.csv", list(table[0]), table)
    whole = [
        {"way": way, "sigma": "" if way == start.WAYS[0] else f"{start.SIGMA:g}", "seed": seed, "accuracy": accuracy}
        for way, each in zip(start.WAYS, accuracies or [], strict=False)
        for seed, accuracy in enumerate(each)
    ]
    rows.write(folder / "start_runs.csv", ["way", "sigma", "seed", "accuracy"], whole)
    return "\n".join(start_page.starts(Evidence(folder)))


def test_sigma_of_the_start_is_the_one_whose_worst_shortfall_is_least(tmp_path: Path) -> None:
    text = section_on_starts(tmp_path, {2.0: -3.0, 0.25: -0.5})
    assert "3.00 points with σ = 2 (digits), 0.50 points with σ = 0.25 (digits): the rule takes σ = 0.25" in text
    assert "the rule takes σ = 2;" in section_on_starts(tmp_path, {2.0: -0.4, 0.25: -0.5})


def test_the_verdict_on_the_start_follows_the_rows(tmp_path: Path) -> None:
    ahead = section_on_starts(tmp_path, {start.SIGMA: 1.0})
    assert "digits better; digits_adamw better" in ahead
    assert ahead.rstrip().endswith("`start=cdat` is ahead of step sampling.")
    mixed = section_on_starts(tmp_path, {start.SIGMA: -0.5})
    assert "digits worse; digits_adamw better" in mixed
    assert mixed.rstrip().endswith("it depends on the task, and `start=cdat` stays an option.")
    assert section_on_starts(tmp_path, {start.SIGMA: -2.0}).rstrip().endswith("is an option and no more.")
    capped = section_on_starts(tmp_path, {start.SIGMA: 1.0}, rate=1.0)
    assert "digits better, the cap and no finding;" in capped
    assert capped.rstrip().endswith("is an option and no more.")


def test_the_verdict_counts_whole_runs_from_peak_and_warm_up(tmp_path: Path) -> None:
    text = section_on_starts(tmp_path, {start.SIGMA: 1.0}, accuracies=[(96, 97, 97), (96, 97.1, 97), (90, 91, 91.5)])
    assert "whole runs of digits from peak and warm-up worse (-5.83 ± 0.17)" in text
    assert "its warm-up costs points (-5.87 ± 0.19)" in text
    assert text.rstrip().endswith("it depends on the task, and `start=cdat` stays an option.")


def test_trying_the_steps_leaves_the_run_as_it_was_and_sees_the_parabola() -> None:
    model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    goal = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    found = training.Ground(model, goal, goal, lambda _, y: (model.weight - y).square().sum())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before, loss = model.weight.detach().clone(), float(found.on().detach())
    one, two, own, search = training.gains(replace(BASE, value=0.25), optimizer, found)
    assert torch.equal(model.weight, before)
    assert not optimizer.state
    assert one == pytest.approx(
        loss, rel=1e-4
    )  # the parabola is exact: σ = 1 ends at its minimum, σ = 2 as high as it began
    assert two == pytest.approx(0.0, abs=1e-4 * loss)
    assert own == pytest.approx(loss * 0.75)  # a step of 0.25 halves the distance
    assert search == pytest.approx(
        loss * (1 - (1 - 2 * 0.15) ** 2)
    )  # 1.5 × 0.1 is accepted: w − goal shrinks by 1 − 2η


@pytest.mark.parametrize(
    ("method", "value"), [("constant", 0.1), ("schedule", 0.1), ("linesearch", 0.0), ("cdat", 1.0)]
)
def test_a_short_run_of_every_method_lowers_the_loss_and_fills_a_row(
    monkeypatch: pytest.MonkeyPatch, method: str, value: float
) -> None:
    short = replace(plan.PROBLEMS["digits_mlp"], steps=6, every=3, images=40, width=8)
    monkeypatch.setitem(plan.PROBLEMS, "digits_mlp", short)
    run = replace(BASE, method=method, value=value)
    told = {**run.cells(), **training.train(run, DataConfig(), torch.device("cpu")), "made": ""}
    one = findings.trained({key: str(cell) for key, cell in told.items()})
    assert one.end < one.initial
    assert [look.step for look in one.looks] == [3, 6]
    assert len(one.curve) == 6
    assert set(told) == set(row(run))


def test_mini_batches_are_judged_on_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SMALL_STEPS", 4)
    run = Run("mini_batch", "compare", "digits_mlp", "gd", "constant", 0.1, 0, batch=8)
    told = training.train(run, DataConfig(), torch.device("cpu"))
    assert float(told["end_loss"]) < float(told["initial_loss"])
    assert float(told["end_sharpness"]) > 0


def test_thinning_keeps_the_ends_and_what_is_asked_for_and_does_so_once(tmp_path: Path) -> None:
    curve = ";".join(f"{step}:{1 / step:.4g}:0.1" for step in range(1, 601, 6))
    runs = {
        replace(BASE, role="tune"): 0,
        BASE: 100,
        replace(BASE, seed=1): plan.FEW,
        replace(BASE, seed=1, method="cdat", value=2.0): 100,
        replace(BASE, part="mini_batch"): plan.FEW,
    }
    table = [row(run, curve=curve) for run in runs]
    path = tmp_path / "runs.csv"
    rows.write(path, list(table[0]), table)
    thinning.thin(path)
    once = path.read_bytes()
    for before, after, kept in zip(table, running.read(path), runs.values(), strict=True):
        groups = after["curve"].split(";") if after["curve"] else []
        assert len(groups) == kept
        assert set(groups) <= set(curve.split(";"))
        assert not groups or (groups[0], groups[-1]) == (curve.split(";")[0], curve.split(";")[-1])
        assert all(after[key] == str(cell) for key, cell in before.items() if key != "curve")
    thinning.thin(path)
    assert path.read_bytes() == once


def test_the_start_of_sigma_is_where_the_worse_off_base_loses_least() -> None:
    means = {"sgd": {0.25: 95.0, 0.5: 96.0, 1.0: 80.0}, "adamw": {0.25: 96.0, 0.5: 90.0, 1.0: 30.0}}
    assert sigma_start.chosen(means) == (0.25, {0.25: 1.0, 0.5: 6.0, 1.0: 66.0})


def test_the_page_says_which_sigma_the_rule_takes_of_a_task_that_is_whole(tmp_path: Path) -> None:
    points = {"sgd": (94, 95, 96, 80, 70), "adamw": (95, 96, 90, 30, 10)}
    table = [
        {"task": "digits", "base": base, "sigma": f"{sigma:g}", "seed": seed, "accuracy": f"{value + seed - 1}"}
        for base, values in points.items()
        for sigma, value in zip(sigma_start.SIGMAS, values, strict=True)
        for seed in range(3)
    ]
    rows.write(tmp_path / "sigma_start.csv", list(table[0]), table)
    lines = start_page.sigma_starts(Evidence(tmp_path))
    assert "| larger shortfall | 2.00 | 1.00 | 6.00 | 66.00 | 86.00 |" in lines
    assert "The rule takes σ = 0.25 on digits." in lines
    assert "cifar10_small: not all of it is measured." in lines
    rows.write(tmp_path / "sigma_start.csv", list(table[0]), table[:-3])
    assert "digits: not all of it is measured." in start_page.sigma_starts(Evidence(tmp_path))


def test_a_run_that_shows_where_sigma_begins_fills_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sigma_start.TASKS, "digits", sigma_start.Tried(1, 1))
    question = ("digits", "sgd", 0.25, 0)
    assert question in sigma_start.questions(cifar10=False)
    found = {key: str(cell) for key, cell in sigma_start.row(question, None).items()}
    assert sigma_start.question_of(found) == question
    assert found["epochs"] == "1"
    assert float(found["accuracy"]) > 10


def test_the_page_tells_what_a_step_costs(tmp_path: Path) -> None:
    case = {"task": "digits", "batch": 64, "base": "adamw", "precision": "fp32", "plain_ms": 7.0}
    cost = {
        "command": "the command",
        **{"rounds": 3, "steps": 4, "torch": "2", "python": "3", "device": "a card"},
        "cases": [{**case, "ratios": {"CDAT": [3.0, 3.25, 3.5], "every=4": [1.5, 1.75, 2.0]}}],
    }
    (tmp_path / "step_cost.json").write_text(json.dumps(cost), encoding="utf-8")
    text = "\n".join(page.step_costs(Evidence(tmp_path)))
    assert "| digits (batch 64), adamw, fp32 | 7.0 | 3.25 (3.00 to 3.50) | 1.75 (1.50 to 2.00) |" in text
    (tmp_path / "step_cost.json").unlink()
    assert "Not measured yet." in page.step_costs(Evidence(tmp_path))
