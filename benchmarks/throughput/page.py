"""result.json → result.md and the table in README.md; no measuring, no torch."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COMMAND = "python -m benchmarks.throughput"
NOT_YET = f"# Images per second\n\nNot measured yet; `{COMMAND}` measures.\n"
BARS = {"width 64": (3.0, 0.6), "width 16": (2.0, None), "cifar10_small": (2.0, None)}  # least b/a, least c/b


def read(folder: Path = HERE) -> dict[str, Any] | None:
    """The raw file of a folder; None before the first measurement."""
    path = folder / "result.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def results(folder: Path = HERE) -> dict[str, str | bytes]:
    """Every drawn file, by its path in the folder."""
    result = read(folder)
    return {"result.md": NOT_YET if result is None else draw(result)}


def readme_blocks() -> dict[str, str]:
    """What README.md quotes."""
    result = read()
    return {"throughput": "Not measured yet." if result is None else readme_block(result)}


def ratios(case: dict[str, Any]) -> dict[str, list[float]]:
    """b/a (images/s over images/s) and c/b (seconds over seconds), one of each a round."""
    times = case["seconds"]
    return {
        "b/a": [a / b for a, b in zip(times["plain"], times["flatdirs"], strict=True)],
        "c/b": [c / b for c, b in zip(times["floor"], times["flatdirs"], strict=True)],
    }


def spread(values: list[float], digits: int = 2) -> str:
    """Median (least – most)."""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} – {high})"


def table(result: dict[str, Any]) -> list[str]:
    """A row a case."""
    lines = [
        "| network | images/s: plain PyTorch (a) | flatdirs (b) | b/a | floor/step c/b | peak MB a, b | n | load before |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in result["cases"]:
        speed = {who: [case["images"] / s for s in times] for who, times in case["seconds"].items()}
        found, peak = ratios(case), case["peak_megabytes"]
        cells = [f"{case['name']}, {case['size']}×{case['size']}, batch {case['batch']}"]
        cells += [spread(speed["plain"], 0), spread(speed["flatdirs"], 0), spread(found["b/a"]), spread(found["c/b"])]
        cells += [
            f"{peak['plain']:,.0f}, {peak['flatdirs']:,.0f}",
            str(len(case["seconds"]["plain"])),
            f"{case['load']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def bars(result: dict[str, Any]) -> list[str]:
    """Whether the bars are met where they are set, on a CPU with amx_bf16; printed only elsewhere."""
    lines = []
    for case in result["cases"]:
        found = {name: statistics.median(values) for name, values in ratios(case).items()}
        for name, least in zip(("b/a", "c/b"), BARS[case["name"]], strict=True):
            if least is not None:
                verdict = "met" if found[name] >= least else "MISSED"
                verdict = verdict if result["versions"]["amx_bf16"] else "printed only: no amx_bf16 here"
                lines.append(f"- {case['name']}: {name} = {found[name]:.2f}, bar {least:g}: {verdict}")
    return lines


def levers(result: dict[str, Any]) -> list[str]:
    """How long flatdirs takes with one thing done differently, in units of flatdirs as it is."""
    names = [name for name in result["cases"][0]["seconds"] if name not in ("plain", "flatdirs", "floor")]
    if not names:
        return []
    lines = [f"| time of a step against flatdirs' | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for case in result["cases"]:
        own = case["seconds"]["flatdirs"]
        cells = [spread([a / b for a, b in zip(case["seconds"][name], own, strict=True)]) for name in names]
        lines.append(f"| {case['name']} | {' | '.join(cells)} |")
    return ["What flatdirs would take otherwise (above 1: slower), in the same rounds:", "", *lines, ""]


def profiles(result: dict[str, Any]) -> list[str]:
    """Milliseconds a step by kind of work, and their share."""
    cases = [case for case in result["cases"] if case.get("profile")]
    if not cases:
        return []
    lines = [
        f"| milliseconds a step (share) | {' | '.join(case['name'] for case in cases)} |",
        "|---" * (len(cases) + 1) + "|",
    ]
    for kind in cases[0]["profile"]:
        cells = [f"{c['profile'][kind]:,.2f} ({c['profile'][kind] / sum(c['profile'].values()):.0%})" for c in cases]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def draw(result: dict[str, Any]) -> str:
    """The whole page, from the raw times alone."""
    lines = [
        "# Images per second: plain PyTorch, flatdirs, and the convolutions alone",
        "",
        f"Drawn from result.json by `{COMMAND} --draw`; measured by `{COMMAND}`. {result['images']}.",
        "Plain: torchvision transforms in a DataLoader with two workers, float32, contiguous, eager, `torch.optim.SGD`,",
        "torch's own number of threads. Floor: every convolution of a step, forward and backward, in flatdirs' precision,",
        "layout and threads, nothing else (the head's matrix product is not in it). They live in processes of their own",
        "and take turns, a piece each a round: " + pieces(result) + ". Median",
        "(least – most) over n rounds; ratios are taken within a round. Peak memory is the process's resident set on the CPU",
        "(the loader's workers not counted), what tensors hold on CUDA. Load: processes that wanted a core before the case",
        "began, other people's included; with more of them than cores, two threads wait long for each other.",
        "",
        *table(result),
        "",
        *bars(result),
        "",
        *levers(result),
        "Where a step of flatdirs goes, from torch.profiler over one piece (its own cost included, which weighs on small",
        f"steps; `{COMMAND} --profile`); \"rest\" is augmentation, loss, autograd's and Python's own work:",
        "",
        *profiles(result),
        "",
        *small(result),
        "",
        ", ".join(f"{key} {value}" for key, value in result["versions"].items()) + ".",
        "",
    ]
    return "\n".join(lines)


def pieces(result: dict[str, Any]) -> str:
    """What a piece was in each case."""
    told = []
    for case in result["cases"]:
        judged = f" and judging {case['judged']:,} images" if case["judged"] > 1 else ""
        told.append(f"{case['steps']} steps at {case['name']}{judged}")
    return ", ".join(told)


def small(result: dict[str, Any]) -> list[str]:
    """Two runs at a time, and what a further run costs before its first step."""
    if "pairs" not in result:
        return []
    pairs, ahead = result["pairs"], result["startup_milliseconds"]
    lines = [
        f"Two `cifar10_small` runs of {pairs['epochs']} epoch, seconds for both:",
        "",
        "| how | seconds | n |",
        "|---|---|---|",
    ]
    lines += [f"| {how} | {spread(times)} | {len(times)} |" for how, times in pairs["seconds"].items()]
    lines += [
        "",
        f"A further `cifar10_small` run in the same process costs {spread(ahead, 0)} ms beyond its steps (n = {len(ahead)};",
        "network and optimizer, the first step's surplus, judging one image).",
    ]
    return lines


def readme_block(result: dict[str, Any]) -> str:
    """What stands between the marks in README.md."""
    versions = result["versions"]
    lines = [
        *table(result),
        "",
        f"Median (least – most) of n rounds on {versions['cores']} cores ({versions['processor']}), torch "
        f"{versions['torch']}, by",
        f"`{COMMAND}`; [the whole result](benchmarks/throughput/result.md).",
    ]
    return "\n".join(lines) + "\n"
