"""`flatdirs analyze`: what a sweep shows, as tables, figures and one self-contained page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flatdirs.cli import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flatdirs.report.sections import Section


def run(settings: dict[str, Any], _: list[str]) -> int:
    """Read a study, print every section, write the figures and analysis.html."""
    from flatdirs.analysis.read_study import read_sweep
    from flatdirs.backend.locate import existing_study
    from flatdirs.backend.study import view_study
    from flatdirs.backend.trials import study_folder
    from flatdirs.config.tune import read_storage
    from flatdirs.config.values import read_integer, read_value
    from flatdirs.errors import ConfigError
    from flatdirs.report.analysis import sections
    from flatdirs.report.console import Output
    from flatdirs.report.sections import print_section
    from flatdirs.tuning.best_text import best_setting, prior_lines, verdict_lines
    from flatdirs.tuning.settings import unit_of

    output, seed = Path(str(settings["output"])), read_integer(settings, "seed", 0, 2**31 - 1)
    rungs = read_value(tuple[int, ...], settings["rungs"] or (), "rungs")
    if any(rung < 1 for rung in rungs):
        raise ConfigError(f"rungs={list(rungs)} must be numbers of evaluations from 1; change rungs", key="rungs")
    config = read_storage(settings["storage"])
    with existing_study(config.kind, config.url, output, settings["study"]) as (storage, name):
        sweep = read_sweep(storage, name)
        ours = bool(sweep.identity) and "slice" not in sweep.identity
        study = view_study(storage, name) if ours else None
        unit = "" if study is None else unit_of(sweep.identity)
        best = None if study is None else best_setting(study, unit)
        verdict = [] if study is None else [*prior_lines(sweep.identity), *verdict_lines(study.verdict(), unit)]
    console, made = Output(), sections(sweep, rungs, seed, output, best, verdict)
    for section in made:
        print_section(console, section)
    usual = study_folder(output, re.sub(r"^\.|[/\\\0]", "_", name))  # names of other programs' studies may have a /
    folder = usual if settings["folder"] is None else Path(settings["folder"])
    written = _write(folder, f"Analysis of study {name}", made)
    console.print(f"\nwritten: {written}", soft_wrap=True, markup=False)
    return 0


def _write(folder: Path, title: str, made: Sequence[Section]) -> str:
    """Write the page and its figures; return where they are. Raises StudyError where the folder cannot be written."""
    from flatdirs.errors import StudyError
    from flatdirs.report.sections import html_page, write_figures

    page = folder / "analysis.html"
    try:
        figures = write_figures(folder / "analysis", made)
        page.write_text(html_page(title, made), encoding="utf-8")
    except OSError as error:
        raise StudyError(
            f"{page} and its figures were not written ({error.strerror}); set folder to one that can be written",
            key="folder",
        ) from error
    if not figures:
        return str(page)
    return f"{page}, and {len(figures)} figure{'s' * (len(figures) > 1)} in {folder / 'analysis'}"


def main(arguments: list[str] | None = None) -> NoReturn:
    run_command.main("analyze", run, arguments)
