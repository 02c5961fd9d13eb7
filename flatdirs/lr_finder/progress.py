"""A progress bar on standard error, in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flatdirs.lr_finder.picks import Point


@contextmanager
def progress_bar(budget: int | None, show: bool) -> Iterator[Callable[[Point], None]]:
    """Yields a function to call after every probe. `budget` None: the number of probes is unknown."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    described = TextColumn("{task.description}")
    columns = (TextColumn("probes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), described)
    console = Console(stderr=True)
    seen = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, transient=True, disable=not seen) as bar:
        task = bar.add_task("", total=budget)

        def advance(point: Point) -> None:
            bar.update(task, advance=1, description=f"learning rate {point.learning_rate:.3g}: loss {point.loss:.4g}")

        yield advance
