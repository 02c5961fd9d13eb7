"""README.md and the figures of this folder, from its rows, whichever way the claims came out."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from benchmarks.cdat import claims, findings, plan, start, tables, variations
from benchmarks.cdat.findings import NAMES, Evidence
from benchmarks.cdat.running import HERE

COMMAND = "python -m benchmarks.cdat"
NOTHING = "Not measured yet."


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
        "it stopped, and several processes share the work. Rows are in `runs.csv`, `toy.csv`, `start.csv` and `start_runs.csv`; `made` is a key of",
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
        "## A start from the edge",
        "",
        *starts(evidence),
    ]


def extent(evidence: Evidence) -> str:
    """How much of the plan is there."""
    if not evidence.rows:
        return f"{NOTHING}"
    seconds = sum(run.seconds for run in evidence.trained.values())
    missing = "not all" if plan.wanted(evidence.losses, True) else "all"
    return (
        f"{len(evidence.rows)} runs are on file, {missing} of the plan, made in {seconds / 60:.0f} minutes of a shared machine; every number says "
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
        "At every look, on every trajectory, one step of σ = 1 and one of σ = 2 are tried from the same weights and state. In which part of the looks",
        "σ = 1 takes more off the loss, and what the long run says: the end loss of σ = 1 over that of σ = 2.",
        "",
    ]
    if not evidence.cases:
        return [*lines, NOTHING, ""]
    lines += [
        f"| problem, base | {' | '.join(f'on the run of {name}' for name in NAMES.values())} | long run |",
        "|---|" + "---|" * (len(NAMES) + 1),
    ]
    for case in evidence.cases:
        shares = [findings.greedy_share(case.every(rival)) for rival in NAMES]
        cells = [f"{100 * share:.0f} % of {count}" if count else "–" for share, count in shares]
        found = findings.compare(case, "sigma1", "sigma2")
        mean = f"{found.mean or 0.0:.3g}×"
        long = f"{found.told(mean, NAMES['sigma1'], NAMES['sigma2'])} ({found.behind})" if found.seeds else "–"
        lines.append(f"| {case.name} | {' | '.join(cells)} | {long} |")
    lines.append("")
    both = any({"sigma1", "sigma2"} <= case.runs.keys() for case in evidence.cases)
    note = "Curves are those of seed 0."
    return (
        [*lines, note, "", "![one step's gain along the run of σ = 1, and both runs](one_step.png)", ""]
        if both
        else lines
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
        f"`digits_mlp`, base GD, {plan.SMALL_STEPS} steps, one thing varied at a time, the constant rate tuned anew for each. Octaves of end loss below the constant rate's,",
        "the mean and in brackets the lowest to highest single seed; – where too many diverged; the last column counts them:",
        "",
    ]
    gains = {
        (name, value): [variations.gain(evidence, name, value, sigma) for sigma in plan.VARIED_SIGMAS]
        for name, value in plan.VARIATIONS
    }
    if not any(found for row in gains.values() for found in row):
        return [*lines, NOTHING, ""]
    lines += [
        f"| | {' | '.join(f'σ = {sigma:g}' for sigma in plan.VARIED_SIGMAS)} | seeds | diverged |",
        "|---|" + "---|" * (len(plan.VARIED_SIGMAS) + 2),
    ]
    for (name, value), row in gains.items():
        label = "as it is" if (name, value) == plan.VARIATIONS[0] else f"{name} {value:g}"
        cells = [found.short if found else "–" for found in row]
        there = [found for found in row if found]
        behind = min((found.compared.behind for found in there), default=0)
        lines.append(f"| {label} | {' | '.join(cells)} | {behind} | {diverged(there)} |")
    return [*lines, "", variations.power(evidence), "", "![gain over a constant rate](sensitivity.png)", ""]


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


def starts(evidence: Evidence) -> list[str]:
    """Does it beat step sampling."""
    lines = [
        f"`start.py`: {start.STEPS} steps of CDAT (ema {start.EMA:g}) on the task's own optimizer and batches, with σ = {told_sigmas()}; the median rate of the second half is the",
        "schedule's peak, the warm-up ends where the rates reach it. It is judged by the lattices' fitted surfaces beside step sampling's pick of the same seed, at the same",
        f"momentum and weight decay; a step of CDAT counts as {start.STEP_PRICE:g} plain ones. Accuracies are percent of validation images, mean over seeds. Rule, fixed",
        "before σ = 0.25 was tried: the σ whose worst mean shortfall against step sampling over the tasks is least.",
        "",
    ]
    tables = start.tables(evidence)
    if not tables:
        return [*lines, NOTHING, ""]
    lines += [
        "| task, σ | seeds | best | from step sampling | from the edge | edge − step sampling | seeds in which the edge is better | peaks at the cap | rates: step sampling | rates: edge | warm-up | cost in runs: step sampling, edge |",
        "|---|" + "---|" * 11,
        *(start_line(f"{name}, σ = {sigma:g}", table) for (name, sigma), table in tables.items()),
        "",
        f"A peak of {start.CAP:g} is the cap, the product's own, and so no finding. {shortfalls(tables)}",
        "",
        *hindsight(evidence),
        *trained(evidence),
        verdict(evidence, tables),
    ]
    return [*lines, ""]


def told_sigmas() -> str:
    """The σ tried."""
    return " and ".join(f"{sigma:g}" for sigma in start.SIGMAS)


def start_line(name: str, table: dict[str, list[float]]) -> str:
    """The line of a task and a σ."""
    differences = start.differences(table)
    better = sum(difference > 0 for difference in differences)
    rates = [f"{min(table[key]):.3g} to {max(table[key]):.3g}" for key in ("step_sampling rate", "cdat rate")]
    costs = [f"{statistics.fmean(table[key]):.2f}" for key in ("step_sampling cost", "cdat cost")]
    values = [f"{statistics.fmean(table[key]):.2f}" for key in ("best", "step_sampling", "cdat")]
    warmup = f"{100 * statistics.median(table['warmup']):.0f} % of a run"
    return (
        f"| {name} | {len(differences)} | {' | '.join(values)} | {with_error(differences)} | {better} | "
        f"{start.at_cap(table)} | {' | '.join(rates)} | {warmup} | {', '.join(costs)} |"
    )


def with_error(values: list[float]) -> str:
    """A mean difference and its standard error."""
    return f"{statistics.fmean(values):+.2f} ± {start.standard_error(values):.2f}"


def shortfalls(tables: dict[tuple[str, float], dict[str, list[float]]]) -> str:
    """What the rule says of σ."""
    worst = start.worst_shortfalls(tables)
    if not worst:
        return "The rule has nothing to choose from yet."
    told = ", ".join(f"{points:.2f} points with σ = {sigma:g} ({name})" for sigma, (points, name) in worst.items())
    least = min(worst, key=lambda sigma: worst[sigma][0])
    return (
        f"The worst mean shortfall is {told}: the rule takes σ = {least:g}; `start=cdat` runs with σ = {start.SIGMA:g}."
    )


def hindsight(evidence: Evidence) -> list[str]:
    """What a fraction of the peak would have given."""
    lines = ["With a part of that peak, in hindsight:", ""]
    for sigma in start.SIGMAS:
        found = {name: claims.fractions(start.at_sigma(evidence, sigma), name) for name in start.SURFACES}
        lines += [
            f"- {name}, σ = {sigma:g}: " + ", ".join(f"1/{part} {value:.2f}" for part, value in table.items())
            for name, table in found.items()
            if table
        ]
    return [*lines, ""]


def trained(evidence: Evidence) -> list[str]:
    """Whole runs from the starts."""
    table = start.trained_accuracies(evidence.start_runs)
    if not table:
        return [f"Whole runs from these starts: {NOTHING.lower()}", ""]
    each = ", ".join(
        f"{way}{f' with σ = {sigma}' if sigma else ''} {statistics.fmean(values.values()):.2f} ± "
        f"{start.standard_error(list(values.values())):.2f} ({len(values)} seeds)"
        for (way, sigma), values in table.items()
    )
    return [
        f"Whole runs of digits from these starts, the trainer's triangle unless said otherwise, accuracy: {each}.",
        "",
    ]


def verdict(evidence: Evidence, tables: dict[tuple[str, float], dict[str, list[float]]]) -> str:
    """Whether `start=cdat`, as it runs, beats step sampling: by two standard errors, task by task and in whole runs."""
    ours = {name: table for (name, sigma), table in tables.items() if sigma == start.SIGMA}
    judged = {
        name: (start.judged(start.differences(table)), 2 * start.at_cap(table) > len(table["cdat"]))
        for name, table in ours.items()
    }
    told = [f"{name} {word}{', the cap and no finding' if cap else ''}" for name, (word, cap) in judged.items()]
    words = [word for word, _ in judged.values()]
    if whole := start.gaps(evidence.start_runs, *start.WAYS[::2]):
        words.append(start.judged(whole))
        told.append(f"whole runs of digits from peak and warm-up {words[-1]} ({with_error(whole)})")
    if warmup := start.gaps(evidence.start_runs, *start.WAYS[1:]):
        does = {"worse": "costs points", "better": "gains points"}.get(start.judged(warmup), "neither gains nor costs")
        told.append(f"its warm-up {does} ({with_error(warmup)})")
    capped = any(cap for _, cap in judged.values())
    if "better" in words and "worse" not in words and not capped:
        end = "`start=cdat` is ahead of step sampling"
    elif "better" in words and not capped:
        end = "it depends on the task, and `start=cdat` stays an option"
    else:
        end = "`start=cdat` is an option and no more"
    return f"`start=cdat`, with σ = {start.SIGMA:g}, against step sampling, by two standard errors: {'; '.join(told)}. So {end}."
