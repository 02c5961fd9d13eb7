"""result.json → README.md and the sentence that the top README quotes; no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COMMAND = "python -m benchmarks.full_run"


def read() -> dict[str, Any] | None:
    """The raw file, None before the first measurement."""
    path = HERE / "result.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def sentence(result: dict[str, Any]) -> str:
    """How long a whole run takes, by the epochs that were timed."""
    seconds = [epoch["seconds"] for epoch in result["epochs"]]
    whole = result["of"] * sum(seconds) / len(seconds) / 3600
    timed = " and ".join(f"{value:.0f}" for value in seconds)
    return (
        f"The source's own run (`task=cifar10 data.evaluate=test`: width 64, batch 512, {result['of']} epochs) takes about {whole:.1f} "
        f"hours on {result['device']}, {result['precision']}: its first {len(seconds)} epochs took {timed} s, evaluation included "
        f"(`{COMMAND} --data cifar10.npz`)."
    )


def readme_blocks() -> dict[str, str]:
    """What the top README quotes."""
    result = read()
    return {
        "full-run": "How long a full-size run takes has not been measured yet." if result is None else sentence(result)
    }


def results() -> dict[str, str | bytes]:
    """Every drawn file of this folder."""
    result = read()
    lines = [
        "# How long a full-size run takes",
        "",
        f"Drawn by `{COMMAND} --draw` from `result.json`, which `{COMMAND} --data cifar10.npz` wrote.",
        "",
    ]
    if result is None:
        return {"README.md": "\n".join([*lines, "Not measured yet.", ""])}
    lines += [
        sentence(result),
        "",
        f"Data: {result['data']}, 50,000 training images, judged on the 10,000 test images; λ=0.4, ρ=0.9, α=5e-4, the triangle of",
        f"{result['of']} epochs, {result['steps']} steps each; one run (n=1), on a machine that other work shared.",
        "",
        "| epoch | training loss | test loss | test accuracy | seconds |",
        "|---|---|---|---|---|",
    ]
    for epoch in result["epochs"]:
        numbers = [
            f"{epoch['train_loss']:.4f}",
            f"{epoch['loss']:.4f}",
            f"{epoch['accuracy']:.2f} %",
            f"{epoch['seconds']:.0f}",
        ]
        lines.append(f"| {epoch['number']} | {' | '.join(numbers)} |")
    lines += ["", ", ".join(f"{key} {value}" for key, value in result["versions"].items()) + ".", ""]
    return {"README.md": "\n".join(lines)}
