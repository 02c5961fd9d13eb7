"""What every command does around its own work: read the words, compose the configuration, turn errors into sentences.

What a user can correct ends as one sentence on stderr and exit code 2; only a bug shows a traceback.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from flatdirs.errors import ConfigError, FlatdirsError, missing_extra

Settings = dict[str, Any]
Entry = Callable[[Settings, list[str]], int]
OUT_OF_REACH = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
ENOUGH_READ = 141  # exit code where a reader such as head has closed the pipe, as a shell reports SIGPIPE


def main(command: str, entry: Entry, arguments: list[str] | None = None) -> NoReturn:
    """Call `entry` with the configuration and with the words that give the same command again, then exit.

    Exit codes: 0; 2 for what a user can correct; 130 for Ctrl-C. Anything else is a bug and shows its traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without · and − must not end a search
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments  # the rest is a user's command
    if {"--help", "-h"} & set(own):
        from flatdirs.cli.help import command_help

        sys.stdout.write(command_help(command, own))
        sys.exit(0)
    try:
        sys.exit(_run(command, entry, arguments))
    except KeyboardInterrupt:
        sys.exit(130)
    except FlatdirsError as error:
        _refuse(str(error), error.detail)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None or not _imported_by_us(error):
            raise
        _refuse(str(missing))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ENOUGH_READ)
    except OSError as error:
        if error.errno not in OUT_OF_REACH:
            raise
        where = f" {error.filename}" if error.filename else ""
        _refuse(
            f"cannot write{where} ({error.strerror}); free space or change output, then give the same command again: "
            f"all finished runs are kept"
        )


def _run(command: str, entry: Entry, arguments: list[str]) -> int:
    from flatdirs.cli.arguments import read_words
    from flatdirs.cli.compose import compose
    from flatdirs.config.without_effect import refuse_without_effect

    try:
        Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the working directory does not exist any more; change to another", key="cwd") from None
    words = read_words(command, arguments)
    settings = compose(command, words)
    if words.show:
        import yaml

        print(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), end="")
        return 0
    refuse_without_effect(settings, words.again())
    told = {key: True for key in ("dry_run", "json") if getattr(words, key)}
    return entry(settings | told, words.again())


def _imported_by_us(error: ModuleNotFoundError) -> bool:
    """Whether the import that failed is in our own code or Optuna's, not in a user's function."""
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    asked = next((name for name in reversed(frames) if not name.startswith("importlib")), "")
    return asked.partition(".")[0] in ("flatdirs", "optuna", "torchvision")


def _refuse(sentence: str, detail: str = "") -> NoReturn:
    below = f"{detail.rstrip()}\n" if detail else ""
    sys.stderr.write(f"flatdirs: {' '.join(sentence.split())}\n{below}")
    sys.exit(2)
