"""Tables of what was handed over, by part and start, and of the rule on normal draws."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from benchmarks.drawing import MISSING, number, table
from flatdirs.search.race import Lead, lead

PARTS = ("digits", "text", "cifar10", "lattices")
ONE_SIDED = 1.645  # standard errors to a one-sided 95 % bound


def values(folder: Path) -> dict[str, str]:
    """The tables; a part without rows has none yet."""
    found = [judged(part, pd.read_csv(folder / f"{part}.csv", dtype={"given_values": str, "start_values": str}))
             for part in PARTS if (folder / f"{part}.csv").exists()]  # fmt: skip
    known = pd.concat(found) if found else pd.DataFrame(columns=["part", "start", "worse", "gain", "far"])
    real, replayed = known[known["part"] != "lattices"], known[known["part"] == "lattices"]
    chance = folder / "chance.csv"
    return {
        "searches": number(len(known)),
        "worse": share(known["worse"]),
        "mean": bound(known["gain"]),
        "far": share(replayed["far"]),
        "real": summary(real, ["part", "start"]),
        "lattices": summary(replayed, ["surface", "start"]),
        "chance": chances(pd.read_csv(chance)) if chance.exists() else MISSING,
        **chance_numbers(chance),
    }


def judged(part: str, table: pd.DataFrame) -> pd.DataFrame:
    """Rows with what the judging seeds say. `gain`: in noises of a run, 0 where the start was kept; `far`: worse by half a noise, noiseless."""
    noise = table.groupby(["surface", "start"])["noise"].transform(lambda own: math.sqrt((own**2).mean()))
    leads = [led(row) for row in table.itertuples()]
    return table.assign(
        part=part,
        replaced=table["handed_over"] != "start",
        worse=[bool(one.pairs > 1 and one.mean < -2 * one.error) or one.lost > one.won for one in leads],
        gain=[one.mean if one.pairs else 0.0 for one in leads] / noise,
        far=table["gain"] < -0.5 * table["level"],
    )


def led(row: object) -> Lead:
    """The lead of what was handed over on the judging seeds; none where it is the start."""
    given, start = (cells(getattr(row, f"{name}_values")) for name in ("given", "start"))
    return lead(given, start, bool(row.maximize)) if given else Lead()  # type: ignore[attr-defined]


def cells(text: object) -> list[float | None]:
    """Numbers between semicolons; None for a run that diverged."""
    return [float(one) if one else None for one in text.split(";")] if isinstance(text, str) else []


def summary(known: pd.DataFrame, by: list[str]) -> str:
    """A line for each group: searches, replaced starts, how often worse, the mean gain in noises."""
    if known.empty:
        return MISSING
    lines = [
        {
            **dict(zip(by, names, strict=True)),
            "searches": number(len(own)),
            "start replaced": number(int(own["replaced"].sum())),
            "worse by 2 SE": number(int(own["worse"].sum())),
            "mean gain, noises": bound(own["gain"]),
            "runs of the race": number(float(own["race_runs"].mean()), 1),
        }
        for names, own in known.groupby(by, sort=False)
    ]
    return table(pd.DataFrame(lines))


def share(flags: pd.Series) -> str:
    """Such as "3 of 340 (0.9 %)"."""
    if flags.empty:
        return MISSING
    return f"{int(flags.sum())} of {len(flags)} ({100 * flags.mean():.1f} %)"


def bound(gains: pd.Series) -> str:
    """The mean, and its one-sided lower 95 % bound."""
    if len(gains) < 2:
        return MISSING
    low = gains.mean() - ONE_SIDED * gains.std() / math.sqrt(len(gains))
    return f"{gains.mean():.2f} (at least {low:.2f})"


def chances(found: pd.DataFrame) -> str:
    """The rule beside a look after every seed, by fresh seeds and gain."""
    shown = found.sort_values(["seeds", "gain"])
    percent = {name: shown[name].map(lambda part: f"{100 * part:.1f} %") for name in ("replaced", "replaced_by_looks")}
    return table(
        pd.DataFrame(
            {
                "fresh seeds": shown["seeds"],
                "gain, noises": shown["gain"].map("{:.1f}".format),
                "start replaced": percent["replaced"],
                "runs": shown["runs"].map("{:.1f}".format),
                "a look after every seed": percent["replaced_by_looks"],
                "its runs": shown["runs_by_looks"].map("{:.1f}".format),
            }
        )
    )


def chance_numbers(path: Path) -> dict[str, str]:
    """What README.md says: six seeds, no gain."""
    if not path.exists():
        return {"false": MISSING, "false_by_looks": MISSING}
    own = pd.read_csv(path).query("seeds == 6 and gain == 0").iloc[0]
    return {"false": f"{100 * own['replaced']:.0f} %", "false_by_looks": f"{100 * own['replaced_by_looks']:.0f} %"}
