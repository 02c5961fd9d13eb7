"""Run the commands of README.md as they stand there, in an empty folder. `python tests/readme_commands.py`.

Every ```console block runs, line by line, unless the line above it says `<!-- not run here: … -->`; every ```python
block that begins with a file name is that file. Exits 1 at the first command that fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?:<!-- (not run here: .*?) -->\n)?```(console|python)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    """(reason for not running, kind, text) of every block."""
    return BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def commands(text: str) -> list[str]:
    """The commands of a console block."""
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in text.splitlines() if line.startswith("$ ")]


def main() -> int:
    """Run them all."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        for reason, kind, text in blocks():
            if kind == "python":
                if found := re.match(r"# (\S+\.py)\n", text):
                    (Path(folder) / found.group(1)).write_text(text, encoding="utf-8")
                continue
            for command in commands(text):
                if reason:
                    print(f"{command}  ({reason})")
                    continue
                done = subprocess.run(
                    command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                print(f"{command}  → {done.returncode}", flush=True)
                if done.returncode:
                    print(done.stdout, done.stderr, sep="\n")
                    return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
