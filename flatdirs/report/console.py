"""Rich's console, which also ends as other commands do when its pipe is closed (`| head`), not with code 1."""

from __future__ import annotations

import threading

from rich.console import Console


class Output(Console):
    """A console that raises BrokenPipeError in the main thread when its pipe is closed."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Raise in the main thread only; what happens in the thread of the live display happens again there."""
        if threading.current_thread() is threading.main_thread():
            self.quiet = True  # nothing more can be printed
            raise BrokenPipeError
