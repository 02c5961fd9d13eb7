"""Whether every table, figure and quoted number is what its raw file gives.

    python -m benchmarks.verify            draw all again and compare; exit 1, one line for each thing that differs
    python -m benchmarks.verify --write    draw all again and write it, README.md's quotations included

`make verify-results` is the first of the two. Text must agree to the letter. Figures must agree pixel by pixel up to
`LEVELS` of 255, for anti-aliasing may differ between processors; where another matplotlib drew the committed figure,
which its file says, being drawable is all that is asked.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np

from benchmarks import pages

LEVELS = 16  # a changed digit or cell differs by far more
NOT_OURS = {"studies"}  # folders below a benchmark that hold raw work


def main() -> int:
    """Compare or write; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify")
    parser.add_argument("--write", action="store_true", help="write what the raw files give instead of comparing")
    if parser.parse_args().write:
        write_all()
        return 0
    problems = [problem for folder in pages.folders() for problem in folder_problems(folder)]
    problems += readme_problems(pages.README.read_text(encoding="utf-8"))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("draw them again from the raw files: python -m benchmarks.verify --write", file=sys.stderr)
        return 1
    print(f"{len(pages.folders())} benchmarks: every table, figure and quoted number is what its raw file gives")
    return 0


def write_all() -> None:
    """Every drawn file, and README.md's quotations."""
    text = pages.README.read_text(encoding="utf-8")
    for folder in pages.folders():
        pages.write(folder.name)
        text = pages.fill(text, pages.readme_blocks(folder.name))
    pages.README.write_text(text, encoding="utf-8")


def folder_problems(folder: Path) -> list[str]:
    """What in one benchmark's folder differs from its raw files, is missing, or is drawn by nothing."""
    where = folder.relative_to(pages.HERE.parent)
    if not (folder / "page.py").exists():
        return [f"{where} has no page.py that draws it"]
    drawn = pages.page(folder.name).results()
    problems = []
    for path, content in drawn.items():
        problem = difference(folder / path, content)
        problems += [f"{where}/{path} {problem}"] if problem else []
    present = (path.relative_to(folder) for end in ("md", "png") for path in sorted(folder.rglob(f"*.{end}")))
    strange = (path for path in present if str(path) not in drawn and path.parts[0] not in NOT_OURS)
    return problems + [f"{where}/{path} is drawn by nothing in {where}/page.py" for path in strange]


def difference(path: Path, content: str | bytes) -> str:
    """How a committed file differs from what was drawn now; empty where it does not."""
    if not path.exists():
        return "is missing"
    if isinstance(content, bytes):
        return figure_difference(path.read_bytes(), content)
    before, now = path.read_text(encoding="utf-8").splitlines(), content.splitlines()
    return line_difference(before, now)


def line_difference(before: list[str], now: list[str]) -> str:
    """The first line that differs, both ways."""
    for number in range(max(len(before), len(now))):
        old, new = (lines[number] if number < len(lines) else "(nothing)" for lines in (before, now))
        if old != new:
            return f"differs in line {number + 1}: it says\n  {old}\nand its raw file gives\n  {new}"
    return ""


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


def readme_problems(text: str) -> list[str]:
    """Quotations in README.md that no page gives, that are not there, or that say something else."""
    quoted = pages.blocks_in(text)
    given: dict[str, str] = {}
    problems = []
    for folder in pages.folders():
        if (folder / "page.py").exists():
            blocks = pages.readme_blocks(folder.name)
            problems += [
                f"block {name} is given twice, the second time by {folder.name}" for name in blocks.keys() & given
            ]
            given |= blocks
    problems += [f"README.md has no block <!-- {name} -->" for name in given.keys() - quoted.keys()]
    problems += [f"README.md's block <!-- {name} --> is drawn by nothing" for name in quoted.keys() - given.keys()]
    for name in sorted(quoted.keys() & given.keys()):
        problem = line_difference(quoted[name].splitlines(), given[name].strip().splitlines())
        problems += [f"README.md's block <!-- {name} --> {problem}"] if problem else []
    return problems


if __name__ == "__main__":
    sys.exit(main())
