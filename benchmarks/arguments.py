"""The command line of a benchmark: words key=value over the keys it has and their defaults."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from flatdirs.errors import ConfigError


def settings_of(
    arguments: Sequence[str], keys: Mapping[str, Any], lists: Mapping[str, Collection[str]] | None = None
) -> dict[str, Any]:
    """The keys with what was given for them; `lists`: those whose values are words between commas, and which words.

    Raises:
        ConfigError: a key or a word that there is not.
    """
    words = lists or {}
    settings = dict(keys)
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in keys:
            raise ConfigError(f"there is no key {key}; the keys are {', '.join(keys)}", key=key)
        settings[key] = value.split(",") if key in words else yaml.safe_load(value)
        if key in words and (unknown := [word for word in settings[key] if word not in words[key]]):
            raise ConfigError(f"{key}={','.join(unknown)} must be of {', '.join(words[key])}; change {key}", key=key)
    return settings
