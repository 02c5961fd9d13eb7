"""README.md and the figures of this folder, from the raw rows alone: every pick beside the grid's best rate."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from benchmarks import rows
from benchmarks.step_sampling.findings import (
    EXPONENTS,
    HERE,
    LONGER,
    OWN,
    RIVALS,
    SCHEDULES,
    Evidence,
    Grid,
    Picks,
    Sample,
)

COMMAND = "python -m benchmarks.step_sampling --data cifar10.npz"
SHARE = 0.95  # of the seeds
BAR = 1.0  # points that log_midpoint may lose against the best of the grid
ABOUT = {
    "resnet_small": "Our network and trainer on `task=cifar10_small`: {steps} steps of 32 images of 16×16, SGD with Nesterov's momentum 0.9, "
    "weight decay 5e-4, shifted, mirrored and cut-out images, judged on 5,000 validation images.",
    "resnet18": "torchvision's ResNet-18 from scratch on 3,000 images of 32×32: {steps} steps of 32, SGD with momentum 0.9, weight decay 5e-4, "
    "mirrored images, judged on 4,992 validation images.",
    "transformer": "`nn.TransformerEncoder` (two layers, width 64, four heads, causal, dropout 0.1) that guesses the next character of the text that "
    "Python ships in `pydoc_data.topics`: {steps} steps of 32 windows of 32 characters, AdamW with weight decay 0.01, trained on the first nine "
    "tenths, judged on 46,080 characters of the last.",
}


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.step_sampling import figures

    evidence = Evidence(folder)
    return {"README.md": draw(evidence), **figures.pictures(evidence)}


def draw(evidence: Evidence) -> str:
    """The whole page."""
    lines = [
        "# Where step sampling's picks lie on a grid of complete runs",
        "",
        f"Drawn from the `.csv` files here, which `{COMMAND}` measured; the same command goes on where it stopped.",
        "",
        *method(),
        "",
        "## The bar",
        "",
        *(bar_line(evidence, model) for model in EXPONENTS),
        "",
        *triangle_part(evidence),
    ]
    lines += ["", *longer_part(evidence), "", *synthetic_part(evidence), "", *cost_part(evidence)]
    for model in EXPONENTS:
        lines += ["", f"## {model}", "", *model_part(evidence, model)]
    return "\n".join(lines) + "\n"


def method() -> list[str]:
    """How to read the tables."""
    return [
        "Every model is trained completely at rates a factor of 2 apart, at a constant rate without warm-up and under the triangle",
        "(5/24 of the run up, the rest down; the rate is its peak), with the same seeds everywhere; ranges and sizes were fixed before any",
        "run. A run that diverges counts as guessing. Every finder starts from the weights, batches and dropout of a complete run of its seed.",
        "torch-lr-finder 0.2.2 is the library itself (1e-7 to 100 in 100 steps, as its README has it). fastai's and Lightning's ramps and rules",
        "are written from their published definitions (`rules.py`, `rivals.py`), not installed; Wittmann's rule is applied to the points that",
        "step sampling probed.",
        "",
        "*Decades*: log₁₀ of pick over best rate, a finder's seed each. *Points below the best*: the best rate's accuracy less the",
        "pick's, both from complete runs at a constant rate and paired by seed, ± one standard error, at the pick of seed 0; with ≈, read off the",
        "grid, straight between neighbours. The last column but one reads the grid at every seed's pick. The best of a grid of noisy means is",
        "flattered by having been chosen, and a constant rate leaves single runs noisy to the last epoch: runs at neighbouring rates differ by",
        "points, which the two columns show where they disagree.",
    ]


def model_part(evidence: Evidence, model: str) -> list[str]:
    """What was trained, the figure, the table."""
    grids = {schedule: evidence.grid(model, schedule) for schedule in SCHEDULES}
    if not any(grid.runs for grid in grids.values()):
        return ["Not measured yet."]
    about = ABOUT[model].format(steps=f"{evidence.run_steps(model):,}")
    made = [evidence.provenance(model, column) for column in ("data", "device", "precision", "torch")]
    lines = [
        f"{about} {made[0]}; {made[1]}, {made[2]}, torch {made[3]}.",
        "",
        f"![accuracy against rate]({model}.png)",
        "",
    ]
    for schedule, grid in grids.items():
        lines += [f"- {schedule}: {best_words(grid)}"]
    picks = evidence.picks(model)
    lines += ["", *pick_table(evidence, model, grids["constant"], picks)] if picks else ["", "No picks yet."]
    return lines


def best_words(grid: Grid) -> str:
    """The best of a grid in a sentence."""
    wanted = len(grid.rates)
    if grid.best is None:
        return f"not measured to the end, {grid.trained} runs at {wanted} rates so far."
    found = grid.at(grid.best)
    edge = " This is the end of the range, so the best may lie beyond it." if grid.best_at_an_end else ""
    seeds = f"{found.count} seeds" if found.count > 1 else "1 seed"
    return f"best at {rate_words(grid.best)}, {measured(found)} % over {seeds} ({wanted} rates from {rate_words(grid.rates[0])} to {rate_words(grid.rates[-1])}).{edge}"


def pick_table(evidence: Evidence, model: str, grid: Grid, picks: dict[str, Picks]) -> list[str]:
    """A row a rule."""
    seeds = sorted({seed for pick in picks.values() for seed in pick.rates})
    of_a_run = evidence.run_steps(model)
    listed = ", ".join(map(str, seeds))
    lines = [
        f"| rule | picks of seeds {listed} | decades from the best | points below the best | the same of every seed, read off the grid | steps (of a run) |",
        "|---|---|---|---|---|---|",
    ]
    for rule, pick in picks.items():
        name = f"**{OWN[rule]}**" if rule == "log_midpoint" else {**OWN, **RIVALS}[rule]
        rates = [pick.rates.get(seed) for seed in seeds]
        cells = [
            name,
            ", ".join("none" if rate is None else f"{rate:.3g}" for rate in rates),
            ", ".join(
                "–" if rate is None or grid.best is None else f"{decades(rate, grid.best):+.2f}" for rate in rates
            ),
            points_cell(grid, pick),
            ", ".join("–" if rate is None or grid.best is None else points_read(grid.read_off(rate)) for rate in rates),
            f"{pick.mean_steps:.0f} ({pick.mean_steps / of_a_run:.0%})",
        ]
        lines += [f"| {' | '.join(cells)} |"]
    notes = [f"{RIVALS.get(pick.rule, pick.rule)}: {note}." for pick in picks.values() for note in pick.notes]
    return lines + (["", " ".join(notes)] if notes else [])


def points_cell(grid: Grid, pick: Picks) -> str:
    """What seed 0's pick loses."""
    if pick.judged is None or grid.best is None:
        return "–"
    lost = grid.lost(pick.judged)
    if lost:
        return measured(lost)
    read = grid.read_off(pick.judged)
    return "outside the grid" if read is None else f"≈ {points_read(read)}"


def points_read(points: float | None) -> str:
    """A number read off the grid."""
    return "outside" if points is None else f"{points:.1f}"


def loss_of(grid: Grid, pick: Picks) -> float | None:
    """Points below the best at seed 0's pick, from complete runs where there are any."""
    if pick.judged is None:
        return None
    lost = grid.lost(pick.judged)
    return lost.mean if lost else grid.read_off(pick.judged)


def bar_line(evidence: Evidence, model: str) -> str:
    """Whether log_midpoint is good enough on a model."""
    grid, pick = evidence.grid(model, "constant"), evidence.picks(model).get("log_midpoint")
    if pick is None or grid.best is None or (points := loss_of(grid, pick)) is None:
        return f"- {model}: not measured yet."
    return f"- {model}: **{'held' if points <= BAR else 'missed'}**. log_midpoint loses {points_cell(grid, pick)} points (bar: {BAR:g})."


def triangle_part(evidence: Evidence) -> list[str]:
    """How far the best peak of the triangle is from the best constant rate, and from log_midpoint."""
    lines = [
        "## From a constant rate to the peak of a triangle",
        "",
        "Best rates of the grids, so known to a factor of √2 either way; log_midpoint is the geometric mean over its seeds.",
        "`tune start=step_sampling` multiplies by the ratio of resnet_small, the only one of the three that it can train.",
        "",
        "| model | best constant rate | best peak | log_midpoint | peak / best constant rate | peak / log_midpoint |",
        "|---|---|---|---|---|---|",
    ]
    ratios: list[tuple[float | None, float | None]] = []
    for model in EXPONENTS:
        constant, peak = (evidence.grid(model, schedule).best for schedule in SCHEDULES)
        pick = evidence.picks(model).get("log_midpoint")
        middle = pick.middle if pick else None
        ratios += [(ratio(peak, constant), ratio(peak, middle))]
        cells = [model, *(number(value) for value in (constant, peak, middle, *ratios[-1]))]
        lines += [f"| {' | '.join(cells)} |"]
    means = [geometric_mean(column) for column in zip(*ratios, strict=True)]
    return [*lines, f"| geometric mean | | | | {number(means[0])} | {number(means[1])} |"]


def longer_part(evidence: Evidence) -> list[str]:
    """Whether a pick that loses in a short run also loses in a longer one."""
    lines = [
        "## Runs of four times the length",
        "",
        "The source trained until convergence; the transformer is far from it when its run ends, and a short run asks for a higher rate.",
        "The same in runs of four times the steps, at constant rates, seed 0 alone (`--only longer`; decided after the grid was seen):",
        "",
        "| model | best rate | accuracy there | log_midpoint | accuracy there | points below | in the short runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, name in LONGER.items():
        grid, pick = evidence.grid(name, "constant"), evidence.picks(model).get("log_midpoint")
        if grid.best is None or pick is None or pick.judged not in grid.runs:
            lines += [f"| {model} | not measured yet | – | – | – | – | – |"]
            continue
        best, own = grid.at(grid.best).mean, grid.runs[pick.judged][0]
        short = loss_of(evidence.grid(model, "constant"), pick)
        cells = [
            model,
            rate_words(grid.best),
            f"{best:.2f} %",
            f"{pick.judged:.3g}",
            f"{own:.2f} %",
            f"{best - own:.2f}",
        ]
        lines += [f"| {' | '.join([*cells, points_read(short)])} |"]
    return lines


def synthetic_part(evidence: Evidence) -> list[str]:
    """How often noise takes the midpoint further than a factor of 2."""
    lines = [
        "## Curves with a known knee, and noise",
        "",
        "`python -m benchmarks.step_sampling --only synthetic`: 14 probes, each with an independent normal error whose standard deviation is this",
        "part of the total loss reduction (`synthetic.py` has the curves). Share of the seeds whose log_midpoint lies within a factor of 2 of its",
        f"noiseless value on a 0.01-decade grid (bar: {SHARE:.0%}), and the median distance in decades. A search that refuses to answer, because the",
        "points scatter too much, counts as outside. The finder was made on these curves with other seeds, and the hinge is of its own family.",
        "",
    ]
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows.read(evidence.folder / "synthetic.csv"):
        off = abs(float(row["midpoint_off"])) if row["midpoint_off"] else math.inf
        found.setdefault(row["shape"], {}).setdefault(row["noise"], []).append(off)
    if not found:
        return [*lines, "Not measured yet."]
    noises = list(next(iter(found.values())))
    count = len(next(iter(found.values()))[noises[0]])
    lines += [
        f"| curve ({count} seeds) | {' | '.join(f'noise {noise}' for noise in noises)} |",
        "|---|" + "---|" * len(noises),
    ]
    for shape, by_noise in found.items():
        cells = [
            f"{sum(off <= math.log10(2) for off in by_noise[noise]) / count:.1%} ({statistics.median(by_noise[noise]):.2f})"
            for noise in noises
        ]
        lines += [f"| {shape} | {' | '.join(cells)} |"]
    return lines


def cost_part(evidence: Evidence) -> list[str]:
    """What the finder costs, beside a complete run."""
    lines = [
        "## What it costs",
        "",
        "In training steps, a forward pass of a validation batch counted as a third of one; `budget=None` refines until every point of",
        "interest is known to 0.1 decades. Bars, on resnet_small: 20 % of a run, and 45 %.",
        "",
        "| model | seed | budget | learning rates | steps | with validation | of a run |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.read(evidence.folder / "costs.csv"):
        share = f"{float(row['run_share']):.1%}"
        budget = "None" if row["budget"] == "none" else row["budget"]
        lines += [
            f"| {row['model']} | {row['seed']} | {budget} | {row['probes']} | {row['steps']} | {row['cost']} | {share} |"
        ]
    return lines


def readme_blocks(folder: Path = HERE) -> dict[str, str]:
    """What README.md quotes: what log_midpoint loses, beside the rivals."""
    evidence = Evidence(folder)
    lines = [
        "| model | best constant rate | log_midpoint | points below the best | its steps, of a run | best rival's points | worst rival's |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [readme_row(evidence, model) for model in EXPONENTS]
    return {
        "step-sampling": "\n".join(
            [
                *lines,
                "",
                f"Complete runs at a constant rate, paired by seed, ± one standard error, by `{COMMAND}`; which rival is best was seen",
                "afterwards ([the whole tables, and the curves](benchmarks/step_sampling/README.md)).",
            ]
        )
    }


def readme_row(evidence: Evidence, model: str) -> str:
    """One model's row."""
    grid, picks = evidence.grid(model, "constant"), evidence.picks(model)
    own = picks.get("log_midpoint")
    cells = [model, number(grid.best)]
    cells += [number(own.judged), points_cell(grid, own)] if own else ["not measured yet", "–"]
    cells += [f"{own.mean_steps / evidence.run_steps(model):.0%}" if own and grid.runs else "–"]
    losses = {rule: loss_of(grid, pick) for rule, pick in picks.items() if rule in RIVALS}
    known = {rule: points for rule, points in losses.items() if points is not None}
    for choice in (min, max):
        rule = choice(known, key=lambda name: known[name], default=None)
        cells += ["–" if rule is None else f"{known[rule]:.1f} ({RIVALS[rule]})"]
    return f"| {' | '.join(cells)} |"


def measured(found: Sample) -> str:
    """A mean with its standard error, where there is more than one seed."""
    return f"{found.mean:.2f}" + ("" if math.isnan(found.error) else f" ± {found.error:.2f}")


def rate_words(rate: float) -> str:
    """A power of two, both ways."""
    return f"{rate:.3g} (2^{math.log2(rate):.0f})"


def decades(rate: float, best: float) -> float:
    """How many decades a rate lies above the best."""
    return math.log10(rate / best)


def ratio(numerator: float | None, denominator: float | None) -> float | None:
    """Their quotient, where both are known."""
    return None if numerator is None or denominator is None else numerator / denominator


def geometric_mean(values: tuple[float | None, ...]) -> float | None:
    """Over all models, once all are known."""
    known = [value for value in values if value is not None]
    return statistics.geometric_mean(known) if len(known) == len(values) else None


def number(value: float | None) -> str:
    """Three digits, or that there is none yet."""
    return "not measured yet" if value is None else f"{value:.3g}"
