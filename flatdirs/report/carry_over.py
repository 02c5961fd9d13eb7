"""A setting carried over as a table, and as lines below it: what other rules give, and what none covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from flatdirs.carrying.carry import CarriedOver, Other, Row
from flatdirs.carrying.setup import SETUP
from flatdirs.report.tables import print_whole
from flatdirs.tuning.formatting import assignments, shown_setting

Rounded = Callable[[str, Any], Any]
COLUMNS = ("hyperparameter", "was", "becomes", "rule", "rests on")


def print_carried(console: Console, found: CarriedOver, rounded: Rounded) -> None:
    """The table and the lines below it. `rounded`: a value as it is run."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, no_wrap=True, justify="right" if name in ("was", "becomes") else "left")
    for cells in (*_setup_cells(found), *(_cells(row, rounded) for row in found.rows)):
        table.add_row(*cells)
    print_whole(console, table)
    for line in carried_lines(found, rounded):
        console.print(line, markup=False, soft_wrap=True)


def carried_lines(found: CarriedOver, rounded: Rounded) -> Iterator[str]:
    """What is said below the table."""
    said = set[str]()
    for other in found.others:
        chosen = other.chosen
        if chosen.of not in said:
            yield f"{chosen.of}: {_name(other.chosen)}, because {chosen.why}"
            said.add(chosen.of)
        yield f"or, by {_name(other.rule)}: {_assigned(other, rounded)} ({_reasons(other)})"
    for sentence in found.not_covered:
        yield f"not covered: {sentence}"


def _name(rule: Any) -> str:
    return f"{rule.formula} [{rule.name}]"


def _assigned(other: Other, rounded: Rounded) -> str:
    return assignments({name: rounded(name, value) for name, value in other.values.items()})


def _reasons(other: Other) -> str:
    """When the rule holds, why, and what it rests on."""
    parts = (other.rule.when, other.rule.why, other.rule.rests_on)
    return "; ".join(part for part in parts if part)


def _setup_cells(found: CarriedOver) -> Iterator[tuple[str, ...]]:
    """A row for everything that was told to change."""
    for name in SETUP:
        old, new = getattr(found.before, name), getattr(found.after, name)
        if old != new:
            yield name, "" if old is None else shown_setting(old), "" if new is None else shown_setting(new), "told", ""


def _cells(row: Row, rounded: Rounded) -> tuple[str, ...]:
    was, becomes = shown_setting(row.was), shown_setting(rounded(row.name, row.becomes))
    if not row.rules:
        return row.name, was, becomes, "told" if row.becomes != row.was else "stays", ""
    formulas = "\n".join(rule.formula for rule in row.rules)
    return row.name, was, becomes, formulas, "\n".join(rule.rests_on for rule in row.rules)


def yaml_lines(setting: Mapping[str, Any]) -> str:
    """A setting as YAML."""
    import yaml

    text: str = yaml.safe_dump(dict(setting), sort_keys=False, allow_unicode=True)
    return text.rstrip()
