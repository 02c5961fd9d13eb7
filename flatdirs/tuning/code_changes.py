"""Whether the code of what is tuned has changed since the study's earlier runs.

A study keeps the checksums of the code (a function's module, the files named in a command) in an attribute of its own,
outside its identity: corrected code may go on. A function's change is told once; a command's script needs anyway=true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flatdirs.backend.study import Study
from flatdirs.errors import ConfigError

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


def check_code(study: Study, now: Mapping[str, str], say: Callable[[str], None], anyway: bool = True) -> None:
    """Tell of changed code once, before the next run, and store what it is now.

    Raises ConfigError for changed code unless `anyway`.
    """
    changed, runs = changed_code(study, now), len(study.runs())
    if changed:
        names = f"{' and '.join(changed)} {'have' if changed[1:] else 'has'} changed since"
        earlier = "the earlier run" if runs == 1 else f"the {runs} earlier runs"
        if not anyway:
            raise ConfigError(
                f"{names} {earlier} of study {study.name}; set anyway=true to go on with them, or study to a new name",
                key="anyway",
            )
        say(f"{names} {earlier} of this study, which still count; if they should not, set study to a new name")
    if study.optuna_study.user_attrs.get(CODE) != dict(now):
        study.optuna_study.set_user_attr(CODE, dict(now))
