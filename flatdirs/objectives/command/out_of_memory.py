"""Whether a command has failed for want of memory: by its exit code and the end of its log."""

from __future__ import annotations

import re

_SAID = re.compile(
    r"out of memory|OutOfMemory|OUT_OF_MEMORY|\bMemoryError\b|RESOURCE_EXHAUSTED|std::bad_alloc|"
    r"(?:can't|cannot|Unable to|Could not|failed to) allocate|CUBLAS_STATUS_ALLOC_FAILED|"
    r"\boom[-_]kill|killed by signal: Killed",
    re.IGNORECASE,
)


def ran_out_of_memory(code: int | None, log_tail: str) -> bool:
    """Whether a run that we did not stop has run out of memory, the computer's or a card's.

    The kernel's own way is SIGKILL: −9, or 137 from a shell. `log_tail`: the last lines of its output.
    """
    if code == 0:
        return False
    return code in {-9, 137} or _SAID.search(log_tail) is not None
