"""Where the reports are printed: Rich's console, but for what happens once nobody reads any more (`| head`).

Rich's own ends the process with code 1; ours lets the command end as any other does whose pipe was closed.
"""

from __future__ import annotations

import threading

from rich.console import Console


class Output(Console):
    """A console whose closed pipe is a BrokenPipeError in the command's own thread."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Raise where the command sees it; what the live display's thread meets, the next line meets again."""
        if threading.current_thread() is threading.main_thread():
            self.quiet = True  # what is printed on the way out goes nowhere either
            raise BrokenPipeError
