"""`python -m flatdirs.analyze STUDY`: what a sweep says afterwards, as tables, figures and one self-contained page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from flatdirs.cli import frame as command_line


def run(settings: dict[str, Any]) -> int:
    """Read a study, print every section, write the figures and analysis.html into the study's folder."""
    from flatdirs.analysis.reading import read_sweep
    from flatdirs.backend.locate import existing_study
    from flatdirs.backend.storages import make_folder
    from flatdirs.backend.trials import study_folder
    from flatdirs.config.tune import read_storage
    from flatdirs.config.values import read_integer, read_value
    from flatdirs.errors import ConfigError
    from flatdirs.report.analysis import sections
    from flatdirs.report.console import Output
    from flatdirs.report.sections import html_page, print_section, write_figures

    output, seed = Path(str(settings["output"])), read_integer(settings, "seed", 0, 2**31 - 1)
    rungs = read_value(tuple[int, ...], settings["rungs"] or (), "rungs")
    if any(rung < 1 for rung in rungs):
        raise ConfigError(f"rungs={list(rungs)} must hold numbers of evaluations, from 1; change rungs")
    wanted = None if settings["study"] is None else str(settings["study"])
    with existing_study(read_storage(settings["storage"]), output, wanted) as (storage, name):
        sweep = read_sweep(storage, name)
    folder = study_folder(output, re.sub(r"^\.|[/\\\0]", "_", name))  # other people's names may be no folder's
    make_folder(folder)
    console, made = Output(), sections(sweep, rungs, seed, output)
    for section in made:
        print_section(console, section)
    figures = write_figures(folder / "analysis", made)
    page = folder / "analysis.html"
    page.write_text(html_page(f"Analysis of study {sweep.name}", made), encoding="utf-8")
    count = "1 figure" if len(figures) == 1 else f"{len(figures)} figures"
    more = f", and {count} in {folder / 'analysis'}" if figures else ""
    console.print(f"\nwritten: {page}{more}", soft_wrap=True, markup=False)
    return 0


def main() -> None:
    """The console script."""
    command_line.main("analyze", run)
