"""Charts as data: read from the mapping of a conf/chart/*.yaml file, written as one, found by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flatdirs.errors import ChartError
from flatdirs.setting_checks import wrong
from flatdirs.space.chart import Axis, Chart
from flatdirs.space.exact_matrix import Exact
from flatdirs.space.scales import describe_scale, read_scale


def read_chart(settings: Mapping[str, Any]) -> Chart:
    """A chart from the plain mapping of a conf/chart/*.yaml file. Raises ChartError naming the key."""
    try:
        axes = tuple(Axis(str(a["name"]), dict(a["exponents"]), a.get("first", "double")) for a in settings["axes"])
        bounds = {str(name): _bound(str(name), pair) for name, pair in (settings.get("bounds") or {}).items()}
        step = float(settings.get("step", 2.0))
        names = tuple(map(str, settings["hyperparameters"]))
        one_minus, whole, fixed = (frozenset(map(str, settings.get(k) or ())) for k in ("one_minus", "whole", "fixed"))
        scales = {str(name): read_scale(told) for name, told in (settings.get("scales") or {}).items()}
        steps = {str(name): float(step) for name, step in (settings.get("steps") or {}).items()}
        choices = {str(name): tuple(told) for name, told in (settings.get("choices") or {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ChartError(
            f"the chart cannot be read ({error!r}); compare its keys with conf/chart/sgd.yaml", key="chart"
        ) from error
    follows = settings.get("follows", "lr")
    follows = None if follows is None else str(follows)
    parts = int(settings.get("parts", 1))
    return Chart(
        str(settings.get("name", "own")),
        names,
        axes,
        one_minus,
        whole,
        follows,
        bounds,
        step,
        parts,
        fixed,
        scales=scales,
        steps=steps,
        choices=choices,
    )


def describe_chart(chart: Chart) -> dict[str, Any]:
    """The plain mapping that `read_chart` reads back, for a study to keep."""
    return {
        "name": chart.name,
        "fixed": sorted(chart.fixed),
        "step": chart.step,
        **({"parts": chart.parts} if chart.parts != 1 else {}),
        "bounds": {name: list(pair) for name, pair in chart.bounds.items()},
        "hyperparameters": list(chart.hyperparameters),
        "one_minus": sorted(chart.one_minus),
        "whole": sorted(chart.whole),
        "follows": chart.follows,
        "axes": [{"name": a.name, "exponents": _plain(a.exponents), "first": a.first} for a in chart.axes],
        **{key: told for key, told in _described_further(chart).items() if told},
    }


def _described_further(chart: Chart) -> dict[str, Any]:
    """What only a chart with further hyperparameters or choices has."""
    return {
        "scales": {name: describe_scale(scale) for name, scale in chart.scales.items()},
        "steps": dict(chart.steps),
        "choices": {name: list(told) for name, told in chart.choices.items()},
    }


@dataclass(frozen=True)
class About:
    """What the file of a shipped chart says at its head: its coordinates, what it is for, its formula and source."""

    name: str
    coordinates: str
    purpose: str
    formula: str
    source: str


def shipped_charts() -> list[About]:
    """What the charts that come with flatdirs are for, by name."""
    from flatdirs.resources import conf_folder

    found = []
    for path in sorted((conf_folder() / "chart").glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        title, formula, source = (line.removeprefix("# ") for line in lines[:3])
        coordinates, _, purpose = title.partition(": ")
        told = (formula.removeprefix("formula: "), source.removeprefix("source: "))
        found.append(About(path.stem, coordinates, purpose, *told))
    return found


def named_chart(name: str) -> Chart:
    """One of the charts that come with flatdirs, such as "sgd" or "adamw". Raises ChartError for other names."""
    import yaml

    from flatdirs.resources import conf_folder

    folder = conf_folder() / "chart"
    path = folder / f"{Path(name).name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ChartError(f"chart={name} is unknown; choose one of {known}", key="chart")
    return read_chart(yaml.safe_load(path.read_text(encoding="utf-8")))


def _plain(exponents: Mapping[str, Exact]) -> dict[str, int | str]:
    """Exponents as JSON and YAML hold them: whole numbers, fractions as text."""
    return {name: power if isinstance(power, int) else str(power) for name, power in exponents.items()}


def _bound(name: str, pair: Any) -> tuple[float | None, float | None]:
    """The bounds of one hyperparameter: a pair of numbers or nulls, null for none at all."""
    if pair is None:
        return None, None
    try:
        low, high = (None if x is None else float(x) for x in pair)
    except (TypeError, ValueError) as error:
        raise wrong(f"chart.bounds.{name}", pair, "must be two numbers, null for none", ChartError) from error
    if low is not None and high is not None and not low < high:
        raise wrong(f"chart.bounds.{name}", pair, "must have the lower below the upper", ChartError)
    return low, high
