"""Run the commands of README.md as they stand there, in empty folders. `python tests/readme_commands.py`.

Every ```console block is run line by line, unless the line above it is `<!-- not run here: … -->`. Each block has its
own folder, which holds a file for every ```python block that begins with a file name; two blocks run at once, each on
one thread. Exits with code 1 if a command fails, and starts no further block.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?:<!-- (not run here: .*?) -->\n)?```(console|python)\n(.*?)```", re.DOTALL)
AT_ONCE = 2
THREADS = {"OMP_NUM_THREADS": "1"}  # two commands with a thread for every core would wait for each other


def blocks() -> list[tuple[str, str, str]]:
    """(reason for not running, kind, text) of every block."""
    return BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def commands(text: str) -> list[str]:
    """The commands of a console block."""
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in text.splitlines() if line.startswith("$ ")]


def files(found: list[tuple[str, str, str]]) -> dict[str, str]:
    """File name → text of the python blocks that name one."""
    named = ((re.match(r"# (\S+\.py)\n", text), text) for _, kind, text in found if kind == "python")
    return {name.group(1): text for name, text in named if name}


def run(text: str, written: dict[str, str]) -> bool:
    """Run a console block in a folder with these files; print each command's exit code. False if one failed."""
    environment = {**os.environ, **THREADS, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in written.items():
            (Path(folder) / name).write_text(lines, encoding="utf-8")
        for command in commands(text):
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            print(f"{command}  → {done.returncode}", flush=True)
            if done.returncode:
                print(done.stdout, done.stderr, sep="\n")
                return False
    return True


def main() -> int:
    """Run them all."""
    found = blocks()
    todo = [(reason, text) for reason, kind, text in found if kind == "console"]
    for reason, text in todo:
        if reason:
            print(*(f"{command}  ({reason})" for command in commands(text)), sep="\n")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(run, text, files(found)) for reason, text in todo if not reason]
        for end in ends:
            if not end.result():
                pool.shutdown(cancel_futures=True)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
