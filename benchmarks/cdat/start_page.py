"""The part of README.md on where a run or a search begins: `start=cdat` beside step sampling, and σ for `schedule=cdat`."""

from __future__ import annotations

import statistics

from benchmarks.cdat import claims, sigma_start, start
from benchmarks.cdat.findings import Evidence
from benchmarks.cdat.tables import NOTHING, table


def starts(evidence: Evidence) -> list[str]:
    """Does it beat step sampling."""
    lines = [
        "## A start from the edge",
        "",
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


def sigma_starts(evidence: Evidence) -> list[str]:
    """At which σ a search with schedule=cdat begins, and what the rule says of each task."""
    lines = ["## Where σ begins with schedule=cdat", "", *sigma_start.RULE, ""]
    if not evidence.sigma_starts:
        return [*lines, NOTHING, ""]
    for task in sigma_start.TASKS:
        found = sigma_start.means(evidence.sigma_starts, task)
        seeds = {row["seed"] for row in evidence.sigma_starts if row["task"] == task}
        if found and all(column.keys() == set(sigma_start.SIGMAS) for column in found.values()):
            best, shortfalls = sigma_start.chosen(found)
            head = (f"{task}, {len(seeds)} seeds", *(f"σ = {sigma:g}" for sigma in sigma_start.SIGMAS))
            each = [(base, *(f"{column[sigma]:.2f}" for sigma in sigma_start.SIGMAS)) for base, column in found.items()]
            last = ("larger shortfall", *(f"{shortfalls[sigma]:.2f}" for sigma in sigma_start.SIGMAS))
            lines += [*table(head, [*each, last]), "", f"The rule takes σ = {best:g} on {task}.", ""]
        else:
            lines += [f"{task}: not all of it is measured.", ""]
    return lines


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
