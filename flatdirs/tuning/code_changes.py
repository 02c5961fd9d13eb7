"""Whether the code of what is tuned has changed since the study's earlier runs.

A study keeps the checksums of the code (a function's module, the files named in a command) in an attribute of its own,
outside its identity: corrected code may go on. `changed_code` compares, `keep_code` stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flatdirs.backend.study import Study

CODE = "flatdirs:code"  # what the code is called → its checksum


def changed_code(study: Study, now: Mapping[str, str]) -> list[str]:
    """The names of the code that differs from that of the study's earlier runs; empty before the first run.

    Code that only one of the two has counts only where they have none in common, as a file that was renamed does.
    """
    before: Mapping[str, str] = study.optuna_study.user_attrs.get(CODE, {})
    if not before or not study.runs():
        return []
    if not set(before) & set(now):
        return sorted(now)
    return sorted(name for name in now if name in before and before[name] != now[name])


def keep_code(study: Study, now: Mapping[str, str]) -> None:
    """Store the checksums of the code that the next runs are made with."""
    if study.optuna_study.user_attrs.get(CODE) != dict(now):
        study.optuna_study.set_user_attr(CODE, dict(now))


def change_told(names: Sequence[str], runs: int) -> str:
    """A change in one line."""
    earlier = "the earlier run" if runs == 1 else f"the {runs} earlier runs"
    return (
        f"{' and '.join(names)} {'have' if names[1:] else 'has'} changed since {earlier} of this study, which count as "
        f"before; if the values are no longer comparable, set study to a new name"
    )
