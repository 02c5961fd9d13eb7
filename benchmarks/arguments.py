"""The command line of a benchmark: words key=value over the keys it has and their defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from flatdirs.errors import ConfigError


def settings_of(arguments: Sequence[str], keys: Mapping[str, Any], lists: Collection[str] = ()) -> dict[str, Any]:
    """The keys with what was given for them; `lists` names those whose values are words between commas.

    Raises:
        ConfigError: a key that there is not.
    """
    settings = dict(keys)
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in keys:
            raise ConfigError(f"there is no key {key}; the keys are {', '.join(keys)}")
        settings[key] = value.split(",") if key in lists else yaml.safe_load(value)
    return settings
