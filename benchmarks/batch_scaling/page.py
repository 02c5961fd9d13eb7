"""README.md and figures of this folder, from the raw rows alone, whichever way the claims came out."""

from __future__ import annotations

import json
import statistics

from benchmarks.batch_scaling import findings, peaks, walks
from benchmarks.batch_scaling.raw import HERE

COMMAND = "python -m benchmarks.batch_scaling"


def results() -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    from benchmarks.batch_scaling import figures

    return {"README.md": draw(), **figures.pictures()}


def draw() -> str:
    """The whole page."""
    lines = [
        "# Small batches against large ones, and warm-up",
        "",
        f"Drawn by `{COMMAND} --draw` from the `.csv` files and `provenance.json` here, which",
        f"`{COMMAND} --data PATH/TO/cifar10.npz` measured (without `--data`: digits alone). {made_with()}",
        "",
        "The source (reference/002 §2.1) bounds the distance between B steps of batch 1 at rate η and one step of batch B at",
        "Bη by 2ση√B + η²HB²‖∇L‖ + 4η²HσB^1.5 and concludes that the two agree only where the gradient is small: hence small",
        "rates first. Grids and thresholds (`findings.py`) were fixed before the rows were looked at.",
        "",
    ]
    for task in findings.walked_tasks():
        lines += [f"## {task}: how far apart", "", *distance_part(task), ""]
    for task in findings.trained_tasks():
        lines += [f"## {task}: with and without warm-up", "", *warmup_part(task), ""]
    missing = [task for task in walks.EPOCHS if task not in findings.trained_tasks()]
    if missing:
        lines += [
            f"Not measured to the end: {', '.join(missing)} with and without warm-up; `{COMMAND} --data …` goes on.",
            "",
        ]
    return "\n".join(lines)


def made_with() -> str:
    """Versions and machines of the rows, each once."""
    entries = [
        f"torch {made['torch']}, numpy {made['numpy']}, Python {made['python']}, {made['device']}, "
        f"{made['threads']} thread on {made['cores']} shared cores, {made['date']}"
        for made in json.loads((HERE / "provenance.json").read_text(encoding="utf-8"))
    ]
    return f"Made with {'; with '.join(dict.fromkeys(entries))}."


def verdict(held: bool) -> str:
    """The two words a claim can get."""
    return "held" if held else "did not hold"


def distance_part(task: str) -> list[str]:
    """What was walked, the states, the claims."""
    rate, decay = walks.SETTINGS[0], walks.SETTINGS[2]
    last = max(walks.EPOCHS[task])
    rates = f"1/{round(1 / walks.LARGE_RATES[0])} to {walks.LARGE_RATES[-1]:g} in factors of 4"
    return [
        f"The network is the trainer's, with batch norm's statistics frozen at those of the {walks.IMAGES} images that L",
        "is the mean loss over. In training mode batch norm has no loss per example, and with one image it standardises that",
        "image by itself, so B steps of batch 1 would be another network's. What follows is therefore about the network as",
        "evaluation sees it, not about batch norm in training. Every parameter moves. Plain SGD, float64, no",
        "augmentation, weights before training and after whole runs of "
        f"{', '.join(str(count) for count in walks.EPOCHS[task][1:])} epochs (λ={rate:g}, ρ={walks.SETTINGS[1]:g}, α={decay:g});",
        f"{walks.SEEDS[task]} seeds, {walks.DRAWS} draws of examples each, B in {{4, 16, 64}}, Bη from {rates}. σ and H are measured at",
        "w, where the source means bounds over all weights.",
        "",
        "| epochs | loss | accuracy | ‖∇L‖ | σ | H | 1/(2H) |",
        "|---|---|---|---|---|---|---|",
        *(state_row(task, epochs) for epochs in walks.EPOCHS[task]),
        "",
        f"Mean ± standard deviation over {walks.SEEDS[task]} seeds; accuracy on the same images.",
        "",
        f"![distances on {task}](distance_{task}.png)",
        "",
        *bound_claim(task),
        *gradient_claim(task),
        *closer_claim(task, last, relative=False),
        *closer_claim(task, last, relative=True),
        *exponent_claim(task),
    ]


def state_row(task: str, epochs: int) -> str:
    """The facts of one state over seeds."""
    found = [state for (name, _, at), state in findings.states().items() if (name, at) == (task, epochs)]

    def cell(values: list[float]) -> str:
        return f"{statistics.fmean(values):.3g} ± {statistics.stdev(values):.2g}"

    facts = ("loss", "accuracy", "gradient_norm", "sigma", "sharpness")
    limit = cell([1 / (2 * state.sharpness) for state in found])
    cells = [cell([getattr(state, fact) for state in found]) for fact in facts]
    return f"| {epochs} | {' | '.join(cells)} | {limit} |"


def bound_claim(task: str) -> list[str]:
    """The inequality where its condition is met."""
    pairs = findings.near_bound(task)
    highest = [max(column) for column in zip(*pairs, strict=True)]
    middle = [statistics.median(column) for column in zip(*pairs, strict=True)]
    return [
        f"- *The bound*: {verdict(max(highest) <= 1)}. In the {len(pairs)} cells (seed, state, B, rate) with Bη ≤ 1/(2H), the mean",
        f"  distance is at most {highest[1]:.2g} of the bound (median {middle[1]:.2g}) when the large step sees other examples, and at most",
        f"  {highest[0]:.2g} (median {middle[0]:.2g}) when both see the same ones, as in the source's algebra.",
    ]


def gradient_claim(task: str) -> list[str]:
    """Distance against gradient norm over all states."""
    found = {fact: findings.ranks(task, fact) for fact in ("gradient_norm", "sigma", "sharpness")}
    held = all(value >= findings.RANK_CORRELATION for value in found["gradient_norm"].values())
    count = sum(key[0] == task for key in findings.states())

    def listed(fact: str) -> str:
        return ", ".join(f"{value:.2f}" for value in found[fact].values())

    return [
        f"- *The distance grows with the gradient norm*: {verdict(held)} (threshold: Spearman's ρ ≥ {findings.RANK_CORRELATION} for every B). Over the",
        f"  {count} states, at Bη = 1/{round(1 / findings.REFERENCE_RATE)} and the same examples, ρ is {listed('gradient_norm')} for B = 4, 16, 64. With σ it is",
        f"  {listed('sigma')}, with H {listed('sharpness')}: the three were not varied apart, so this says",
        "  which of them go along, not which is the cause.",
    ]


def closer_claim(task: str, last: int, relative: bool) -> list[str]:
    """Initial against late weights at the same rate."""
    wins, count = findings.closer_late(task, relative)
    held = wins >= findings.MOST_CELLS * count
    what = "In units of the large step, too" if relative else "Late weights agree better than initial ones"
    return [
        f"- *{what}*: {verdict(held)} (threshold: {findings.MOST_CELLS:.0%} of cells). At the same B and Bη the "
        + ("distance divided by the large step's length" if relative else "distance"),
        f"  is smaller after {last} epochs than at the start in {wins} of {count} cells (seed, B, rate).",
    ]


def exponent_claim(task: str) -> list[str]:
    """The bound's powers at small rates."""
    powers = findings.exponents(task, 0)
    expected = {"same_examples rate": 2.0, "other_examples rate": 1.0, "other_examples batch": -0.5}
    off = max(abs(powers[key] - value) for key, value in expected.items())
    return [
        f"- *The bound's shape at small rates* (initial weights, Bη = 1/1024 to 1/256): {verdict(off <= findings.EXPONENT_TOLERANCE)} "
        f"(tolerance {findings.EXPONENT_TOLERANCE}). With other",
        f"  examples the distance goes as (Bη)^{powers['other_examples rate']:.2f} (noise term: 1) and, at fixed Bη, as B^{powers['other_examples batch']:.2f} "
        "(noise term: −0.5). With the",
        f"  same examples that noise cancels and what is left goes as (Bη)^{powers['same_examples rate']:.2f} (the other terms: 2) and as "
        f"B^{powers['same_examples batch']:.2f}",
        "  (theirs: between 0 and −0.5).",
    ]


def warmup_part(task: str) -> list[str]:
    """What was run, the claims, the table."""
    lines = [
        f"`task={task}` with the trainer's triangle (rise over 5/24 of all steps) against its falling half alone, which has the",
        f"same sum of rates; momentum {peaks.MOMENTUM:g}, weight decay {peaks.WEIGHT_DECAY:g}, {peaks.SEEDS[task]} seeds, the same on both sides. The trainer's rule that",
        "ends hopeless runs early is off, because it spares only runs that still warm up. A run failed when a loss was not",
        "finite (then it counts as 0 %) or when it ended no better than guessing.",
        "",
        f"![with and without warm-up on {task}](warmup_{task}.png)",
        "",
    ]
    for batch in peaks.BATCH_SIZES[task]:
        lines += warmup_claims(task, batch)
    if len(peaks.BATCH_SIZES[task]) > 1:
        lines += larger_batch_claim(task)
    for batch in peaks.BATCH_SIZES[task]:
        lines += [
            "",
            f"Batch {batch}: validation accuracy in percent, mean ± standard deviation, (failed/diverged of n).",
            "",
        ]
        lines += warmup_table(task, batch)
    return lines


def warmup_claims(task: str, batch: int) -> list[str]:
    """Highest rates and best accuracies on both sides."""
    found = findings.compare(task, batch)
    trained, good, rates = found.highest_trained, found.highest_good, found.best_rate
    bests = [
        f"{side.mean:.2f} % ± {side.spread:.2f} at λ={rate:g}" for side, rate in zip(found.best, rates, strict=True)
    ]
    better = "held" if found.gain > found.error else "did not hold"
    reverse = "; runs without are better" if -found.gain > found.error else ""
    return [
        f"- *Warm-up lets higher peak rates train* (batch {batch}): {verdict(trained[0] > trained[1])}. The highest rate at which no seed failed is",
        f"  {trained[0]:g} with and {trained[1]:g} without.",
        f"- *And train well* (batch {batch}; mean within {findings.GOOD_WITHIN:g} points of the best): {verdict(good[0] > good[1])}. Up to {good[0]:g} with and",
        f"  {good[1]:g} without (0: at no rate).",
        f"- *The best accuracy is higher with warm-up* (batch {batch}): {better}{reverse}. {bests[0]} with,",
        f"  {bests[1]} without; {found.gain:+.2f} points, twice the standard error {found.error:.2f} (n={len(found.best[0].accuracies)} a side, each side at",
        "  its own best rate, which flatters both).",
    ]


def larger_batch_claim(task: str) -> list[str]:
    """Whether warm-up buys more at the larger batch."""
    small, large = (findings.compare(task, batch).highest_good for batch in peaks.BATCH_SIZES[task])
    factors = [pair[0] / pair[1] if pair[1] else float("inf") for pair in (small, large)]
    sizes = peaks.BATCH_SIZES[task]
    return [
        f"- *The larger batch needs it more*: {verdict(factors[1] > factors[0])}. Warm-up raises the highest rate that trains well by a factor of",
        f"  {factors[0]:g} at batch {sizes[0]} and of {factors[1]:g} at batch {sizes[1]}.",
    ]


def warmup_table(task: str, batch: int) -> list[str]:
    """A row a rate, and the paired difference."""
    lines = ["| λ | with warm-up | without | with − without, paired ± 2 standard errors |", "|---|---|---|---|"]
    for rate in peaks.RATES[task]:
        sides = [findings.runs().get((task, batch, warm, rate)) for warm in (True, False)]
        if None in sides:
            continue
        cells = [
            f"{side.mean:.2f} ± {side.spread:.2f} ({side.failed}/{side.diverged} of {len(side.accuracies)})"
            for side in sides
        ]
        gaps = [with_it - without for with_it, without in zip(*(side.accuracies for side in sides), strict=True)]
        error = 2 * statistics.stdev(gaps) / len(gaps) ** 0.5
        lines.append(f"| {rate:g} | {' | '.join(cells)} | {statistics.fmean(gaps):+.2f} ± {error:.2f} |")
    return lines
