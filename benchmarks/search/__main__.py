"""Searches against one another on tuning surfaces, then fill in the pages; the same command resumes.

    python -m benchmarks.search workers=2                     what the main page needs, on the development tasks
    python -m benchmarks.search workers=2 full=true           all: wider boxes, the Gaussian process, CFO, ablation, wrong charts
    python -m benchmarks.search surface=digits only=flatdirs,tpe seeds=5 draw=false
    python -m benchmarks.search validation=true               the validation tasks; notes the date
    python -m benchmarks.search replay=alexnet                the same for the pool of runs of AlexNet alone

`only`, `surface`, `box` and `start` take words of split.yaml; `again=true` makes rows again that are on file; `folder` is another folder
for rows and pages; `draw=false` leaves the pages as they are. `unchanged=true`: the source of flatdirs has changed, the search has not;
rows of its earlier source stay where the first seeds of their condition come out the same again. `as=v4` makes the rows of an earlier version: in a worktree of its commit,
with this folder copied into it. CFO needs `pip install flaml==2.7.0`.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks import pages, rows
from benchmarks.arguments import settings_of
from benchmarks.search import simulation, split, surfaces
from benchmarks.search.simulated import Absent
from benchmarks.search.split import FROZEN, HERE, OURS, SPLIT, TASK_OF, TASKS, Condition
from flatdirs.errors import ConfigError, FlatdirsError

AGAIN = 2  # seeds of each condition that unchanged=true makes again
SLICE = 10  # repetitions that are simulated at once; those of the Gaussian process one by one
LISTS: dict[str, Sequence[str]] = {"only": [*OURS, *SPLIT["rivals"], *FROZEN], "surface": list(TASK_OF)}
LISTS |= {
    key: list(dict.fromkeys(word for one in SPLIT["conditions"] for word in one[many]))
    for key, many in (("box", "boxes"), ("start", "starts"))
}
KEYS: dict[str, Any] = {
    **{key: list[str]() for key in LISTS},
    "seeds": 1000,
    "workers": 1,
    "full": False,
    "validation": False,
}
KEYS |= {"replay": None, "as": None, "again": False, "unchanged": False, "draw": True, "folder": HERE}
VALIDATION = [surface for task in SPLIT["validation"] for surface in TASKS[task]]
Task = tuple[Condition, str, str, list[int]]  # its key, the version of our search, its seeds


def main(arguments: Sequence[str]) -> int:
    """The command line; the exit code."""
    try:
        settings = settings_of(arguments, KEYS, LISTS)
        folder, wanted = Path(settings["folder"]), chosen(settings)
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        if looked := [surface for surface in wanted if surface in VALIDATION]:
            note(folder, looked)
        if settings["unchanged"]:
            for surface in wanted:
                stay(surface, folder)
        tasks = [task for surface in wanted for task in tasks_of(surface, folder, settings)]
        for (condition, key, *_), found in zip(tasks, made(tasks, settings["workers"]), strict=True):
            if found:
                keep(folder / "rows" / f"{condition.surface}.csv", condition, key, found)
            print(*condition, len(found), flush=True)
    except FlatdirsError as error:
        print(f"flatdirs: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if settings["draw"]:
        pages.write("search", folder)
    return 0


def made(tasks: Sequence[Task], workers: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of each task, in order, by so many processes; one thread each."""
    if workers == 1:
        with threadpool_limits(1):
            yield from (simulation.rows(*task) for task in tasks)
    elif tasks:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            yield from pool.map(simulation.rows, *zip(*tasks, strict=True))


def chosen(settings: Mapping[str, Any]) -> list[str]:
    """The surfaces that are asked for. Validation is never among them unless it is asked for. Raises ConfigError."""
    if settings["replay"] not in (None, "alexnet"):
        raise ConfigError(f"replay={settings['replay']} must be alexnet; change replay", key="replay")
    if settings["as"] not in (None, *FROZEN):
        raise ConfigError(f"as={settings['as']} must be one of {', '.join(FROZEN)}; change as", key="as")
    if settings["as"] and split.source() != FROZEN[settings["as"]]["source"]:
        commit = FROZEN[settings["as"]]["commit"]
        raise ConfigError(f"as={settings['as']} needs flatdirs as in commit {commit}; use a worktree of it", key="as")
    if settings["replay"]:
        return [settings["replay"]]
    named = settings["surface"] or [surface for task in SPLIT["development"] for surface in TASKS[task]]
    if settings["validation"]:
        return [*settings["surface"]] or VALIDATION
    if kept := [surface for surface in named if surface in VALIDATION]:
        raise ConfigError(
            f"surface={kept[0]} is for validation; add validation=true, which notes the date", key="surface"
        )
    return list(named)


def tasks_of(surface: str, folder: Path, settings: Mapping[str, Any]) -> Iterator[Task]:
    """What a surface lacks; nothing where its data are not here, which is said."""
    try:
        facts = surfaces.facts(surfaces.named(surface))
    except Absent as reason:
        print(reason, flush=True)
        return
    remember(folder, surface, facts)
    done = {
        (row["method"], row["box"], row["start"], row["key"], int(row["seed"]))
        for row in rows.read(folder / "rows" / f"{surface}.csv")
    }
    every = split.conditions(surface, settings["full"] or bool(settings["only"] or settings["as"]))
    for condition, seeds in every:
        version = (
            FROZEN[condition.method]["source"]
            if condition.method in FROZEN
            else split.source()
            if split.is_ours(condition.method)
            else ""
        )
        asked = all(
            not settings[key] or word in settings[key]
            for key, word in zip(("only", "box", "start"), condition[1:], strict=True)
        )
        if not asked or (condition.method != settings["as"] if settings["as"] else condition.method in FROZEN):
            continue
        key = split.key(condition, facts["key"], version)
        left = [
            seed
            for seed in range(min(settings["seeds"], seeds))
            if settings["again"] or (*condition[1:], key, seed) not in done
        ]
        size = 1 if condition.method == "gp" else SLICE
        yield from ((condition, key, version, left[at : at + size]) for at in range(0, len(left), size))


def stay(surface: str, folder: Path) -> None:
    """Give rows of an earlier source of our search the present checksum, if AGAIN seeds come out the same; print which do not."""
    path, known = folder / "rows" / f"{surface}.csv", surfaces.facts(surfaces.named(surface))["key"]
    for condition, _ in split.conditions(surface):
        key = split.key(condition, known, split.source())
        old = [row for row in rows.read(path) if (row["method"], row["box"], row["start"]) == condition[1:]]
        if condition.method not in OURS or {row["key"] for row in old} in (set(), {key}):
            continue
        fresh = simulation.rows(condition, key, split.source(), [int(row["seed"]) for row in old[:AGAIN]])
        stamps = {"key": key, "source": split.source()}
        if all(
            {**row, **stamps} == {name: str(told) for name, told in new.items()}
            for row, new in zip(old, fresh, strict=False)
        ):
            keep(path, condition, key, [{**row, **stamps} for row in old])
        else:
            print(*condition, "is not what it was", flush=True)


def keep(path: Path, condition: Condition, key: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Put a condition's rows on file, in place of those of the same seeds and of those with another key."""

    def place(row: Mapping[str, Any]) -> tuple[str, str, str]:
        return row["method"], row["box"], row["start"]

    with rows.locked(path):
        old, fresh = rows.read(path), {str(new["seed"]) for new in found}
        kept = [one for one in old if place(one) != condition[1:] or (one["key"] == key and one["seed"] not in fresh)]
        rows.write(path, list(found[0]), sorted([*kept, *found], key=lambda row: (place(row), int(row["seed"]))))


def remember(folder: Path, surface: str, facts: Mapping[str, Any]) -> None:
    """Write what the pages say of a surface, in facts.json, if it is new."""
    path = folder / "facts.json"
    with rows.locked(path):
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if known.get(surface) != facts:
            path.write_text(json.dumps({**known, surface: facts}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def note(folder: Path, looked: Sequence[str]) -> None:
    """Note in looked.csv that rows of validation tasks are made: the day, the version of our search, which surfaces."""
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    row = {"date": today, "source": split.source(), "surfaces": " ".join(looked)}
    if not any(row.items() <= old.items() for old in rows.read(folder / "looked.csv")):
        rows.append(folder / "looked.csv", row)
    print(f"validation: {', '.join(looked)}; noted in looked.csv", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
