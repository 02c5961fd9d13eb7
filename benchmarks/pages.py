"""Fill the hand-written pages of the benchmarks with generated tables, figures and numbers.

Each benchmark has a folder: raw rows, a script that measures, a README.md written by hand, and page.py, which computes from the
rows (without torch or Optuna)

    values(folder) -> dict[str, str]      tables and single numbers, by name
    figures(folder) -> dict[str, bytes]   PNG files, by path in the folder; optional

A page of the folder quotes a value between `<!-- name -->` and `<!-- /name -->`: a table on lines of its own, a number in a
sentence. The project's README.md quotes it between `<!-- benchmark:name -->` and `<!-- /benchmark:name -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
MARK = re.compile(r"<!-- (?P<name>[\w.:-]+) -->(?P<text>.*?)<!-- /(?P=name) -->", re.DOTALL)


def benchmarks() -> list[str]:
    """The names of all benchmarks that have a page."""
    return sorted(path.parent.name for path in HERE.glob("*/page.py"))


def values(name: str, folder: Path | None = None) -> dict[str, str]:
    """Tables and numbers of benchmark `name`, from its own raw rows or those in another folder."""
    found: dict[str, str] = import_module(f"benchmarks.{name}.page").values(folder or HERE / name)
    return found


def figures(name: str, folder: Path | None = None) -> dict[str, bytes]:
    """The figures of benchmark `name` as PNG files."""
    module = import_module(f"benchmarks.{name}.page")
    return dict(module.figures(folder or HERE / name)) if hasattr(module, "figures") else {}


def write(name: str, folder: Path | None = None) -> None:
    """Draw benchmark `name` again: its figures, and what its pages and README.md quote of it.

    From rows in another folder, figures and filled copies of the pages go there, and README.md stays as it is. A machine that
    only measures may lack what drawing needs; then the pages stay as they are.
    """
    if missing := [package for package in ("pandas", "tabulate", "scipy", "matplotlib") if find_spec(package) is None]:
        print(f"the rows are on file; drawing the pages needs {', '.join(missing)}", file=sys.stderr)
        return
    own = HERE / name
    folder = folder or own
    for path, data in figures(name, folder).items():
        (folder / path).write_bytes(data)
    known = values(name, folder)
    for page in sorted(own.glob("*.md")):
        (folder / page.name).write_text(fill(page.read_text(encoding="utf-8"), known), encoding="utf-8")
    if folder.resolve() == own:
        quoted = {f"{name}:{key}": text for key, text in known.items()}
        README.write_text(fill(README.read_text(encoding="utf-8"), quoted), encoding="utf-8")


def quotations(text: str) -> list[tuple[str, str]]:
    """Name and quoted text of every mark in a page, in order."""
    return [(found["name"], found["text"].strip()) for found in MARK.finditer(text)]


def fill(text: str, known: Mapping[str, str]) -> str:
    """The page with these values between their marks; marks of other names stay as they are."""

    def filled(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in known:
            return found[0]
        margin = "\n" if "\n" in found["text"] else ""
        return f"<!-- {name} -->{margin}{known[name].strip()}{margin}<!-- /{name} -->"

    return MARK.sub(filled, text)
