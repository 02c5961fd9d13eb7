"""Settings from a file and from `--name=value`, as nanoGPT reads them: `train.py config/docs.py --max_iters=100`."""

from __future__ import annotations

import sys
from ast import literal_eval
from pathlib import Path
from typing import Any


def configure(settings: dict[str, Any]) -> None:
    """Change `settings` by the words of the command line, in their order. Raises KeyError for an unknown name."""
    for word in sys.argv[1:]:
        if word.startswith("--"):
            name, _, text = word[2:].partition("=")
            if name not in settings:
                raise KeyError(f"unknown setting {name}")
            settings[name] = _value(text, settings[name])
        else:
            print(f"Overriding config with {word}")
            exec(Path(word).read_text(encoding="utf-8"), {}, settings)


def _value(text: str, default: Any) -> Any:
    """The text as the default's type; 1e-3 and 1 are both fine for a number with a point."""
    value = text if isinstance(default, str) else literal_eval(text)
    return float(value) if isinstance(default, float) else value
