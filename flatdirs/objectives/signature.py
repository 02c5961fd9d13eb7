"""How a user's function is found and called: by path or directly, with the parameters that it has.

The function gets every value that it has a parameter for, under the short or the long name (`learning_rate`), or under
the one that `names` gives.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from flatdirs.errors import ObjectiveError
from flatdirs.setting_checks import wrong
from flatdirs.space.names import all_names, canonical


@lru_cache
def find_function(path: str, key: str = "task.function") -> Callable[..., Any]:
    """Import `package.module:function`, looking in the working directory too. Raises ObjectiveError (key)."""
    module_name, colon, name = path.partition(":")
    if not (colon and module_name and name):
        raise wrong(key, path, "must look like my_package.my_module:train", ObjectiveError)
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109  (sys.path holds strings)
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        reason = f"its module raises {type(error).__name__}: {error}"
        if isinstance(error, (ImportError, AttributeError, SyntaxError)):
            reason = str(error)  # of a SyntaxError with file and line
        raise wrong(key, path, f"cannot be imported ({reason})", ObjectiveError) from error
    if not callable(found):
        raise wrong(key, path, f"is a {type(found).__name__}, not a function", ObjectiveError)
    return found


def named_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be passed by keyword."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {parameter.name: parameter for parameter in _parameters(function) if parameter.kind in kinds}


def takes_all(function: Callable[..., Any]) -> bool:
    """Whether a function has **keywords."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(function))


def arguments_of(
    function: Callable[..., Any], offered: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Those of the offered values that a function has a parameter for, by the name that the parameter has.

    `names`: the parameter of a hyperparameter, where it is none of the usual names. With **keywords the function gets
    all others too, by their short names.
    """
    named, all_others, arguments = named_parameters(function), takes_all(function), dict[str, Any]()
    for name, value in offered.items():
        short = canonical(name)
        given = (names or {}).get(short)
        own = [spelling for spelling in ([given] if given else all_names(short)) if spelling in named]
        arguments.update(dict.fromkeys(own or ([given or short] if all_others else []), value))
    return arguments


def _parameters(function: Callable[..., Any]) -> Iterable[inspect.Parameter]:
    """The parameters of a function. Raises ObjectiveError for built-in functions without a signature."""
    try:
        return inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise wrong("task.function", repr(function), "does not say which parameters it has", ObjectiveError) from error
