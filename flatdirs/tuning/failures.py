"""What to do about a run of a command that failed: it ended with an error, or without a value.

The first run's failure stops the search. A later one is tried once more; if that fails too, the run counts as diverged,
but at the settings of the incumbent it stops the search, for these did work before. Out of memory counts as diverged
where the batch size or a width is searched; elsewhere something else takes the memory, and the run waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flatdirs.errors import ObjectiveError
from flatdirs.objectives.base import Measurement
from flatdirs.space.chart import Chart

PAUSE_SECONDS = 30.0  # before a run that ran out of memory is tried again
MEMORY_TRIES = 4
SIZES = ("batch", "width", "size", "dim", "hidden", "layers", "depth", "length", "rank")  # parts of their names


def measured(
    once: Callable[[], Measurement],
    run: str,
    first: bool,
    is_best: Callable[[], bool],
    chart: Chart,
    say: Callable[[str], None],
) -> Measurement:
    """The measurement of a run, tried again where it failed. `run`: what to call it.

    `first`: no run of the study has finished; `is_best`: whether the settings are the incumbent's, asked only after a
    failure. Raises ObjectiveError where the failure stops the search.
    """
    tries = 0
    while True:
        found = once()
        tries += 1
        if found.failure is None or (found.out_of_memory and searches_a_size(chart)):
            return found
        if first:
            raise stopping("the first run", found)
        if tries < (MEMORY_TRIES if found.out_of_memory else 2):
            pause = PAUSE_SECONDS if found.out_of_memory else 0.0
            say(f"{run} {found.failure}; it is tried again{f' in {pause:.0f} s' if pause else ''}")
            time.sleep(pause)
        elif (best := is_best()) or found.out_of_memory:
            raise stopping("the incumbent's own settings" if best else f"{tries} tries of one run", found)
        else:
            say(f"{run} {found.failure} again; it counts as diverged")
            return found


def searches_a_size(chart: Chart) -> bool:
    """Whether the batch size, a width or the like is searched, so that settings decide how much memory a run takes."""
    return any(part in name for name in chart.free for part in SIZES)


def stopping(which: str, found: Measurement) -> ObjectiveError:
    """The error of a failure that ends the search, with the end of the log."""
    return ObjectiveError(
        f"{which} of the command {found.failure}; mend it and give the same command again: finished runs are kept",
        key="task.command",
        detail=found.log,
    )
