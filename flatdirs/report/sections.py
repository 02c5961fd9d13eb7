"""Sections of a report: for the terminal, and as one HTML page that contains its figures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
STYLE = """body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 0.8em 0 } caption { text-align: left; font-style: italic }
th, td { padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } img { max-width: 100% } code { font-size: 13px }"""


@dataclass(frozen=True)
class Table:
    """A table of text. The first column and one called centre are aligned to the left, the others to the right."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Section:
    """One part of a report. `name` is that of its figure's file, without .png."""

    name: str
    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figure: Figure | None = None


def print_section(console: Console, section: Section) -> None:
    """Print a section without its figure."""
    console.print(f"\n[bold]{escape(section.title)}[/bold]")
    for sentence in section.sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    for table in section.tables:
        console.print(_rich(table))


def _rich(table: Table) -> RichTable:
    shown = RichTable(
        title=escape(table.title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for index, name in enumerate(table.header):
        shown.add_column(escape(name), justify="right" if index and name != "centre" else "left")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown


def write_figures(folder: Path, sections: Sequence[Section]) -> list[Path]:
    """Write each section's figure to folder/<name>.png, and delete the file of a section that has none now."""
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        path = folder / f"{section.name}.png"
        if section.figure is None:
            path.unlink(missing_ok=True)
        else:
            section.figure.savefig(path, dpi=DPI)
            written.append(path)
    return written


def html_page(title: str, sections: Sequence[Section]) -> str:
    """A page that needs no other file."""
    body = "\n".join(_html(section) for section in sections)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html>\n<html><head>{head}</head><body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"


def _html(section: Section) -> str:
    parts = [f'<h2 id="{section.name}">{html.escape(section.title)}</h2>']
    parts += [f"<p>{html.escape(sentence)}</p>" for sentence in section.sentences]
    parts += [_html_table(table) for table in section.tables]
    if section.figure is not None:
        picture = io.BytesIO()
        section.figure.savefig(picture, format="png", dpi=DPI)
        source = base64.b64encode(picture.getvalue()).decode("ascii")
        parts.append(f'<img alt="{html.escape(section.title)}" src="data:image/png;base64,{source}">')
    return "\n".join(parts)


def _html_table(table: Table) -> str:
    header = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table><caption>{html.escape(table.title)}</caption><tr>{header}</tr>{rows}</table>"
