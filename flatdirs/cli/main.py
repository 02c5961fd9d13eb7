"""The command `flatdirs`: finds the subcommand and hands its words over. Nothing heavy is imported for --help."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from typing import NoReturn

import flatdirs
from flatdirs.cli.help import program_help
from flatdirs.cli.keys import COMMANDS, module_name


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a subcommand and exit with its code; 2 for one that does not exist."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in COMMANDS:
        import_module(f"flatdirs.cli.{module_name(command)}").main(rest)
    if command in ("--help", "-h"):
        sys.stdout.write(program_help())
        sys.exit(0)
    if command == "--version":
        print(f"flatdirs {flatdirs.__version__}")
        sys.exit(0)
    near = difflib.get_close_matches(command, COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"
    sys.stderr.write(f"flatdirs: there is no command {command}; {hint}\n")
    sys.exit(2)
