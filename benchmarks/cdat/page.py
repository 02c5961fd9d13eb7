"""README.md and the figures of this folder, from its rows, whichever way the claims came out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cdat import claims, findings, plan, start_page, tables, variations
from benchmarks.cdat.findings import NAMES, Case, Evidence, Trained
from benchmarks.cdat.running import HERE
from benchmarks.cdat.tables import NOTHING

COMMAND = "python -m benchmarks.cdat"
MOST_COST = 3.5  # plain steps
ONE_STEP = {"sigma1": claims.greedy, "linesearch": claims.search}  # rules of which a step is tried against one of σ = 2


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.cdat import figures

    evidence = Evidence(folder)
    return {"README.md": "\n".join(page(evidence)), **figures.pictures(evidence)}


def page(evidence: Evidence) -> list[str]:
    """The whole page."""
    return [
        "# CDAT, its rivals, and the curvature they live on",
        "",
        f"Made by `{COMMAND} data.path=cifar10.npz` (without `data.path`: digits alone), the same command as often as you like: it goes on where",
        "it stopped, and several processes share the work. Rows are in `runs.csv`, `toy.csv`, `start.csv`, `start_runs.csv` and `sigma_start.csv`; `made` is a key of",
        f"`provenance.json`. The claims are those of reference/003 (arXiv 2407.06183). CIFAR-10 here is CIFAR-10 (JPEG): JPEG copies of its images. {extent(evidence)}",
        "",
        *made_with(evidence.folder),
        "## Claims",
        "",
        *tables.claims_tables(evidence),
        "## Full batch",
        "",
        *full_batch(evidence),
        "## One step and the long run",
        "",
        *one_step(evidence),
        "## Mini-batches",
        "",
        *mini_batch(evidence),
        "## Width, depth, weight decay, images",
        "",
        *sensitivity(evidence),
        "## The toy model",
        "",
        *toy(evidence),
        *start_page.starts(evidence),
        *start_page.sigma_starts(evidence),
        *step_costs(evidence),
    ]


def extent(evidence: Evidence) -> str:
    """How much of the plan is there."""
    if not evidence.rows:
        return f"{NOTHING}"
    seconds = sum(run.seconds for run in evidence.trained.values())
    missing = "not all" if plan.wanted(evidence.losses, True) else "all"
    return (
        f"{len(evidence.rows)} runs are in runs.csv, {missing} of the plan, made in {seconds / 60:.0f} minutes of a shared machine (the starts' are not counted); every number says "
        "how many seeds stand behind it."
    )


def made_with(folder: Path) -> list[str]:
    """Versions and devices, each once."""
    path = folder / "provenance.json"
    entries = json.loads(path.read_text(encoding="utf-8")).values() if path.exists() else ()
    told = dict.fromkeys(
        f"Made with torch {made['torch']}, numpy {made['numpy']}, Python {made['python']} on {made['device']}, "
        f"{made['threads']} thread."
        for made in entries
    )
    return [*told, ""] if told else []


def full_batch(evidence: Evidence) -> list[str]:
    """The problems, the table of end losses, the figures."""
    lines = [
        "Every step sees all images. " + " ".join(describe(problem) for problem in plan.PROBLEMS.values()),
        f"Constant rates and peaks are tuned on seed 0 over 10^(k/{plan.PER_DECADE}) until the best has both neighbours, and judged, like everything here, by the mean",
        f"training loss of the last {plan.LAST} steps: on seed 0 they have that advantage. The schedule rises over {100 * plan.WARMUP:.0f} % of the steps and falls to 0. Line search, σ = 1",
        f"and σ = 2 have nothing to tune; their rate is capped at {plan.CAP['gd']:g} (GD) or {plan.CAP['adam']:g}.",
        "",
    ]
    if not evidence.cases:
        return [*lines, NOTHING, ""]
    lines += [*tables.end_losses(evidence), *tables.caps(evidence)]
    lines += [
        "",
        "Curves are those of seed 0; the panels of the ratio are cut at 2, so that a curve may leave them.",
    ]
    lines.append("")
    for problem in plan.PROBLEMS:
        if any(case.problem == problem for case in evidence.cases):
            lines += [f"![{problem}: loss, rate, sharpness, ratio, alignment](full_batch_{problem}.png)", ""]
    missing = [problem for problem in plan.PROBLEMS if all(case.problem != problem for case in evidence.cases)]
    return [*lines, f"Not measured yet: {', '.join(missing)}.", ""] if missing else lines


def describe(problem: plan.Problem) -> str:
    """One problem in a sentence."""
    network = (
        f"an MLP of {problem.depth} hidden layers of {problem.width} tanh units"
        if problem.network == "mlp"
        else f"the trainer's residual network of width {problem.width} with batch norm"
    )
    loss = problem.loss.replace("_", " ")
    return f"`{problem.name}`: {problem.images} images of {problem.size} × {problem.size}, {network}, {loss}, {problem.steps} steps."


def one_step(evidence: Evidence) -> list[str]:
    """What is compared, a table by trajectory, the figure."""
    lines = [
        "At every look, on every trajectory, one step of σ = 1, one of line search (its first guess, and so its most, 1.5 times the rate of the step just taken) and one of",
        "σ = 2 are tried from the same weights and state. In which part of the looks σ = 1, and after the slash line search, takes more off the loss than",
        "σ = 2, and what the long run says: the end loss of σ = 1, and of line search, over that of σ = 2.",
        "",
    ]
    if not evidence.cases:
        return [*lines, NOTHING, ""]
    lines += [
        f"| problem, base | {' | '.join(f'on the run of {name}' for name in NAMES.values())} | long run |",
        "|---|" + "---|" * (len(NAMES) + 1),
    ]
    for case in evidence.cases:
        cells = [steps_won(case.every(rival)) for rival in NAMES]
        lines.append(f"| {case.name} | {' | '.join(cells)} | {' / '.join(long_run(case, name) for name in ONE_STEP)} |")
    lines.append("")
    both = any({"sigma1", "sigma2"} <= case.runs.keys() for case in evidence.cases)
    note = "Curves are those of seed 0."
    return (
        [*lines, note, "", "![one step's gain along the run of σ = 1, and both runs](one_step.png)", ""]
        if both
        else lines
    )


def steps_won(runs: Sequence[Trained]) -> str:
    """The shares of looks in which σ = 1 and line search gain more than σ = 2, and of how many looks."""
    shares = [findings.step_share(runs, gain) for gain in ONE_STEP.values()]
    counts = " / ".join(dict.fromkeys(str(count) for _, count in shares))
    told = " / ".join(f"{100 * share:.0f} %" if count else "–" for share, count in shares)
    return f"{told} of {counts}" if any(count for _, count in shares) else "–"


def long_run(case: Case, rival: str) -> str:
    """End loss over that of σ = 2, and the seeds behind it."""
    found = findings.compare(case, rival, "sigma2")
    return (
        f"{found.told(f'{found.mean or 0.0:.3g}×', NAMES[rival], NAMES['sigma2'])} ({found.behind})"
        if found.seeds
        else "–"
    )


def mini_batch(evidence: Evidence) -> list[str]:
    """The heat maps and their seeds."""
    lines = [
        f"`digits_mlp`, base GD, {plan.SMALL_STEPS} steps whatever the batch: training loss of all images at the end over that at the beginning, geometric mean over",
        "seeds; – where a run diverged. Mini-batches are judged apart from the full batch of all images. Sharpness, in the table of claims, is that of all images where",
        "constant rates end, with the smallest batch against the largest.",
        "",
    ]
    runs = [run for run in evidence.part("mini_batch") if run.run.method == "cdat"]
    if not runs:
        return [*lines, NOTHING, ""]
    counts = [count for ema in plan.EMAS for _, count in findings.sigma_table(runs, ema).values()]
    cells = len(plan.EMAS) * len(plan.SIGMAS) * len(plan.BATCHES)
    best = [f"ema {ema:g}: {variations.told(findings.best_sigmas(runs, ema))}" for ema in plan.EMAS]
    return [
        *lines,
        "![end over initial loss, σ × batch](mini_batch.png)",
        "",
        f"Seeds a cell: {min(counts)} to {max(counts)}; {len(counts)} of {cells} cells. {'; '.join(best)}.",
        variations.corner(evidence),
        "",
    ]


def sensitivity(evidence: Evidence) -> list[str]:
    """The gains, variation by variation."""
    lines = [
        f"`digits_mlp`, bases {' and '.join(plan.VARIED_BASES)}, {plan.SMALL_STEPS} steps, one thing varied at a time, the constant rate tuned anew for each. Octaves of end loss below the constant rate's,",
        "the mean and in brackets the lowest to highest single seed; – where too many diverged; the last column counts them:",
        "",
    ]
    gains = {
        (base, name, value): [variations.gain(evidence, name, value, sigma, base) for sigma in plan.VARIED_SIGMAS]
        for base in plan.VARIED_BASES
        for name, value in plan.VARIATIONS
    }
    if not any(found for row in gains.values() for found in row):
        return [*lines, NOTHING, ""]
    lines += [
        f"| | {' | '.join(f'σ = {sigma:g}' for sigma in plan.VARIED_SIGMAS)} | seeds | diverged |",
        "|---|" + "---|" * (len(plan.VARIED_SIGMAS) + 2),
    ]
    for (base, name, value), row in gains.items():
        label = f"{base}, " + ("as it is" if (name, value) == plan.VARIATIONS[0] else f"{name} {value:g}")
        cells = [found.short if found else "–" for found in row]
        there = [found for found in row if found]
        behind = min((found.compared.behind for found in there), default=0)
        lines.append(f"| {label} | {' | '.join(cells)} | {behind} | {diverged(there)} |")
    powers = [told for base in plan.VARIED_BASES if (told := variations.power(evidence, base))]
    return [*lines, "", *powers, "", "![gain over a constant rate](sensitivity.png)", ""]


def diverged(row: list[variations.Gain]) -> str:
    """Who diverged at one variation, and how often."""
    lost = {"the constant rate": max((found.compared.first for found in row), default=0)}
    lost |= {f"σ = {found.sigma:g}": found.compared.second for found in row}
    return ", ".join(f"{name} {count}" for name, count in lost.items() if count) or "–"


def toy(evidence: Evidence) -> list[str]:
    """The three figures."""
    lines = [
        "x' = −(1 + y)x, s' = s + η(a − b x²), y = ηs − 2 (`toy.py`). CDAT's rule needs the rest of the gradient as well: `toy_runs.py` gives it a fixed size",
        "and curvature, which are ours, and the outcome hangs on them. Here σ = 2 holds the sharpness, σ = 1.9 lets it grow until just below the edge,",
        "and σ = 2.1 uses it up within steps. A constant rate cycles wider and wider around the edge until it is lost, a step throwing the sharpness below 0.",
        "The panels of y are cut at ±1.2.",
        "",
    ]
    return (
        [*lines, "![toy: constant rate, tuners, CDAT in the loop](toy.png)", ""]
        if evidence.toy
        else [*lines[-1:], NOTHING, ""]
    )


def step_costs(evidence: Evidence) -> list[str]:
    """Ratios to a plain step, by task and base."""
    lines = ["## What a step costs", ""]
    found = evidence.step_cost
    if not found:
        return [*lines, NOTHING, ""]
    names = list(found["cases"][0]["ratios"])
    medians = [case["ratios"]["CDAT"][1] for case in found["cases"]]
    head = ("task, base, precision", "plain, ms", *names)
    body = [
        (
            f"{case['task']} (batch {case['batch']}), {case['base']}, {case['precision']}",
            f"{case['plain_ms']:.1f}",
            *(
                f"{middle:.2f} ({low:.2f} to {high:.2f})"
                for low, middle, high in (case["ratios"][name] for name in names)
            ),
        )
        for case in found["cases"]
    ]
    return [
        *lines,
        f"`{found['command']}`: time of a step over a plain one's of the same round, median (quartiles) of {found['rounds']} rounds of {found['steps']} steps each; torch {found['torch']},",
        f"Python {found['python']}, {found['device']}, one CPU thread. `quick=False`: with torch's own second derivatives; `every=4`: curvature at every fourth step.",
        "",
        *tables.table(head, body),
        "",
        f"CDAT's medians go from {min(medians):.2f} to {max(medians):.2f}; {MOST_COST:g} was the most that it was to cost{'' if max(medians) <= MOST_COST else ', and that is missed'}.",
        "",
    ]
