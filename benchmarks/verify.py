"""Check that every table, figure and quoted number is what its raw file gives.

    python -m benchmarks.verify            compute all again and compare; exit 1, one line for each difference
    python -m benchmarks.verify --write    compute all again and write it into the pages

Text must agree to the letter. Figures must agree pixel by pixel up to `LEVELS` of 255, for anti-aliasing may differ
between processors; where another matplotlib drew the committed figure, which its file says, being drawable is enough.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import pages

LEVELS = 16  # a changed digit or cell differs by far more


def main() -> int:
    """Compare or write; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify")
    parser.add_argument("--write", action="store_true", help="write what the raw files give instead of comparing")
    parser.add_argument("names", nargs="*", help="benchmarks; all of them by default")
    given = parser.parse_args()
    names = given.names or pages.benchmarks()
    if given.write:
        for name in names:
            pages.write(name)
        return 0
    known, problems = {}, []
    for name in names:
        values = pages.values(name)
        problems += folder_problems(name, values)
        known |= {f"{name}:{key}": text for key, text in values.items()}
    problems += page_problems(pages.README, known, partly=bool(given.names))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("compute them again from the raw files: python -m benchmarks.verify --write", file=sys.stderr)
        return 1
    print(f"{len(names)} benchmarks: every table, figure and quoted number is what its raw file gives")
    return 0


def folder_problems(name: str, values: Mapping[str, str]) -> list[str]:
    """What in one benchmark's folder differs from its raw files, is missing, or is not drawn by its page.py."""
    folder = pages.HERE / name
    drawn = pages.figures(name)
    problems = [problem for page in sorted(folder.glob("*.md")) for problem in page_problems(page, values)]
    for path, data in drawn.items():
        problem = figure_difference((folder / path).read_bytes(), data) if (folder / path).exists() else "is missing"
        problems += [f"benchmarks/{name}/{path} {problem}"] if problem else []
    strange = {str(path.relative_to(folder)) for path in folder.rglob("*.png")} - drawn.keys()
    return problems + [f"benchmarks/{name}/{path} is not drawn by page.py" for path in sorted(strange)]


def page_problems(page: Path, values: Mapping[str, str], partly: bool = False) -> list[str]:
    """Quotations of a page that no benchmark gives (unless `partly`), or that say something else."""
    where, problems = page.relative_to(pages.HERE.parent), []
    for name, text in pages.quotations(page.read_text(encoding="utf-8")):
        if name not in values:
            problems += [] if partly else [f"{where}: nothing computes <!-- {name} -->"]
        elif text != values[name].strip():
            problems.append(
                f"{where}: <!-- {name} --> says\n  {text}\nand its raw file gives\n  {values[name].strip()}"
            )
    return problems


def figure_difference(before: bytes, now: bytes) -> str:
    """How two PNG files differ to the eye; empty where they do not, or where different versions drew them."""
    from PIL import Image

    old, new = Image.open(io.BytesIO(before)), Image.open(io.BytesIO(now))
    if old.info.get("Software") != new.info.get("Software"):
        return ""
    pixels = [np.asarray(image.convert("RGB"), dtype=np.int16) for image in (old, new)]
    if pixels[0].shape != pixels[1].shape:
        return f"has {old.size} pixels and its raw file gives {new.size}"
    off = int((np.abs(pixels[0] - pixels[1]).max(axis=2) > LEVELS).sum())
    return f"differs from what its raw file gives in {off} pixels" if off else ""


if __name__ == "__main__":
    sys.exit(main())
