"""Words of a command: read without a shell, named files, and words with their secrets masked.

A command runs without a shell. What only a shell understands (pipes, &&, $(…)) gets the sentence that proposes
bash -c '…'; a leading A=1 becomes env A=1.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from flatdirs.errors import FlatdirsError, masked
from flatdirs.objectives.command.known_flags import normal
from flatdirs.objectives.command.notation import is_number
from flatdirs.setting_checks import wrong

KEY = "task.command"

_OPERATOR = re.compile(r"[0-9]*(?:>>?|<<?<?|>&|<&|&>>?|>\|)(?:&?[0-9]+|&?-)?|\|\|?|\|&|&&?|;;?")
_SUBSTITUTION = re.compile(r"\$\(|`")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.S)
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", re.S)
_PLACEHOLDER = re.compile(r"(?<!\$)\{[A-Za-z_][\w.]*:[^{}\s]*\}")  # its | belongs to it
_INTERPRETER = re.compile(
    r"python[0-9.]*w?|pypy[0-9.]*|(ba|z|da|k|fi)?sh|perl|ruby|node|julia|Rscript|[gmn]?awk|java|env|nice|nohup|time|timeout|"
    r"taskset|numactl|torchrun|accelerate|deepspeed|composer|srun|mpirun|mpiexec|horovodrun|uv|poetry|conda|make"
)
_WRITTEN = frozenset({"out", "output", "outfile", "log", "logfile", "logdir", "save", "resume", "checkpoint", "ckpt"})
_ARGUMENT = re.compile(  # in a script: --name value or name=value, where the name may be that of a secret
    r"(?<![\w.-])(?P<name>-{0,2}(?=[\w.-]*(?:key|token|passw|passphrase|pwd|secret))[A-Za-z_][\w.-]*)(?P<between>=|\s+)"
    r"(?P<value>(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+)",
    re.I,
)
_SECRET_PART = re.compile(r"keys?|tokens?|pwd|passphrase|\w*(key|token|password|passwd|secret)s?")
_NO_SECRET_PART = re.compile(r"monkeys?|turkeys?|hotkeys?|donkeys?")


def split_words(text: str) -> list[str]:
    """The words of `task.command`, as a shell splits them. Raises ConfigError for what only a shell understands."""
    text = text.replace("\\\n", " ")
    bare = _PLACEHOLDER.sub("x", _QUOTED.sub("x", text))
    if found := re.search(r"\$\(|`|&&|\|\||[0-9]*[<>]+(&[0-9]+)?|[|;&]", bare):
        raise _shell_syntax(text, found[0])
    try:
        return shlex.split(text)
    except ValueError as error:
        raise wrong(
            KEY, repr(_masked_script(text)), f"is no command line ({error})", remedy="close the quote"
        ) from error


def refuse_shell_syntax(words: Sequence[str]) -> None:
    """Raise ConfigError for words of an argv that only a shell understands; the text of a program may hold anything."""
    for before, word in zip(["", *words], words, strict=False):
        text_of_program = re.fullmatch(r"-\w*[ce]", before) or re.search(r"\s", word)
        if _OPERATOR.fullmatch(word) or (_SUBSTITUTION.search(word) and not text_of_program):
            raise _shell_syntax(shlex.join(masked_words(words)), word)


def _shell_syntax(text: str, found: str) -> FlatdirsError:
    problem = f"holds {found}, and commands run without a shell"
    script = "bash -c '…', with a placeholder such as {lr:0.1} inside for each value to tune"
    return wrong(KEY, short(_masked_script(text)), problem, remedy=f"write {script}")


def with_env(words: Sequence[str]) -> list[str]:
    """The words, with `env` before leading assignments. Raises ConfigError where no program follows."""
    count = next((i for i, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word)), len(words))
    if count == len(words) or not words[count]:
        raise wrong(KEY, " ".join(masked_words(words)), "names no program", remedy="write the command that trains")
    return [*(["env"] if count else []), *words]


def short(text: str, most: int = 120) -> str:
    """A text for a sentence: one line, its beginning only."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def named_files(words: Sequence[str | None]) -> list[Path]:
    """The existing files that a command names and reads, in order; relative to the working directory.

    Interpreters and launchers (/usr/bin/python3) are none, nor are values of flags such as --out and --resume; of
    `-m package.module` the module's file is one, if it lies below the working directory. None: a word with a slot.
    """
    files: dict[Path, None] = {}
    for before, word in zip([None, *words], words, strict=False):
        if word is None:
            continue
        flag, equals, value = word.partition("=")
        name = flag if equals else before if before and before.startswith("-") and "=" not in before else ""
        if _WRITTEN & set(normal(name).replace(".", "_").split("_")):
            continue
        module = word.replace(".", os.sep) if before == "-m" else ""
        candidates = [f"{module}.py", str(Path(module, "__main__.py"))] if module else [word, value]
        for text in candidates:
            if text and Path(text).name and _is_file(text) and not _INTERPRETER.fullmatch(Path(text).stem):
                files[Path(text)] = None
    return list(files)


def _is_file(text: str) -> bool:
    return os.path.isfile(text)  # noqa: PTH113 — False, not an error, for names that no file can have


def masked_words(words: Iterable[str]) -> list[str]:
    """The words with *** for values of arguments whose names say key, token, password or secret, and URLs' passwords.

    Numbers and placeholders after key and token stay (--max-tokens 4096). In a script (-c '…') each of its
    arguments is looked at.
    """
    shown: list[str] = []
    before = ""
    for word in words:
        name, equals, value = word.partition("=")
        is_script = re.fullmatch(r"-\w*c", before) is not None
        if before.startswith("-") and is_secret(before) and "=" not in before and not word.startswith("-"):
            shown.append(_masked_value(before, word))
        elif not is_script and equals and _is_name(name) and is_secret(name):
            shown.append(f"{name}={_masked_value(name, value)}")
        else:
            shown.append(_masked_script(word) if re.search(r"\s", word) else masked(word))
        before = word
    return shown


def is_secret(name: str) -> bool:
    """Whether the name of an argument or of a variable says that its value is a secret: --api-key, HF_TOKEN, apiKey."""
    parts = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return any(_SECRET_PART.fullmatch(part) and not _NO_SECRET_PART.fullmatch(part) for part in parts)


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[-+]{0,2}[A-Za-z_][\w./-]*", text) is not None


def _masked_value(name: str, value: str) -> str:
    number = is_number(value) and not re.search("pass|secret", name, re.I)
    return value if number or not value or _PLACEHOLDER.fullmatch(value) else "***"


def _masked_script(text: str) -> str:
    """A text of several arguments with its secrets masked."""
    return masked(_ARGUMENT.sub(_masked_argument, text))


def _masked_argument(found: re.Match[str]) -> str:
    name, between, value = found["name"], found["between"], found["value"]
    if not is_secret(name) or (between != "=" and (not name.startswith("-") or value.startswith("-"))):
        return found[0]
    return f"{name}{between}{_masked_value(name, value)}"
