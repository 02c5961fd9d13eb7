"""A line on standard error that says how far the probes are, where a person looks: in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatdirs.lr_finder.result import Point


@contextmanager
def progress_bar(budget: int | None, show: bool) -> Iterator[Callable[[Point], None]]:
    """Call what this yields after every probe. `budget` None: nobody knows how many there will be."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("probes"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    seen = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, transient=True, disable=not seen) as bar:
        task = bar.add_task("", total=budget)

        def advance(point: Point) -> None:
            bar.update(task, advance=1, description=f"learning rate {point.learning_rate:.3g}: loss {point.loss:.4g}")

        yield advance
