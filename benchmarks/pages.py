"""What every benchmark draws, and where it goes: the one convention that `verify` holds them to.

benchmarks/NAME/page.py draws that folder's tables and figures from the raw files beside it. It measures nothing, writes
nothing, imports neither torch nor optuna, and offers

    results() -> dict[str, str | bytes]      every drawn file by its path in the folder: text, or a PNG's bytes
    readme_blocks() -> dict[str, str]        what README.md quotes between <!-- name --> and <!-- /name -->; optional

so that measuring and drawing stay apart, and whoever doubts a number can draw it again without the machine it was
measured on. `write` is what a benchmark calls when it has measured.
"""

from __future__ import annotations

import io
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BLOCK = re.compile(r"^<!-- (?P<name>[\w-]+) -->\n(?P<text>.*?)^<!-- /(?P=name) -->$", re.DOTALL | re.MULTILINE)


def folders() -> list[Path]:
    """Every benchmark's folder."""
    return sorted(path.parent for path in HERE.glob("*/__init__.py"))


def page(name: str) -> ModuleType:
    """The module that draws benchmark `name`."""
    return import_module(f"benchmarks.{name}.page")


def write(name: str, folder: Path | None = None) -> None:
    """Draw every file of benchmark `name` into its folder, or into another one that holds raw files of the same kind."""
    module = page(name)
    for path, content in (module.results() if folder is None else module.results(folder)).items():
        data = content.encode("utf-8") if isinstance(content, str) else content
        ((folder or HERE / name) / path).write_bytes(data)


def png(figure: Figure, dots_per_inch: int = 120) -> bytes:
    """A figure as a PNG file's content; matplotlib notes its version in it, on which `verify` relies."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dots_per_inch)
    return stream.getvalue()


def readme_blocks(name: str) -> dict[str, str]:
    """What README.md quotes of benchmark `name`; none where its page quotes nothing."""
    module = page(name)
    return dict(module.readme_blocks()) if hasattr(module, "readme_blocks") else {}


def blocks_in(text: str) -> dict[str, str]:
    """The text between each pair of marks, without blank lines around it."""
    return {found["name"]: found["text"].strip("\n") for found in BLOCK.finditer(text)}


def fill(text: str, blocks: dict[str, str]) -> str:
    """`text` with these blocks between their marks; marks of other names stay as they are."""

    def filled(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name} -->\n{blocks[name].strip()}\n<!-- /{name} -->" if name in blocks else found[0]

    return BLOCK.sub(filled, text)
