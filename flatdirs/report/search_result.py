"""What `flatdirs.tune` returns: the settings found, every run, and how far to trust them; for scripts and notebooks."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flatdirs.backend.table_rows import counted, significant
from flatdirs.backend.verdict import Verdict
from flatdirs.errors import missing_extra
from flatdirs.report.closing import mean_text
from flatdirs.search.flatness import Flatness
from flatdirs.tuning.best_text import lead_text, verdict_lines
from flatdirs.tuning.formatting import shown_setting, value_text
from flatdirs.tuning.tuner import Best

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = 4  # digits of a standard deviation and of values in the notebook


@dataclass(frozen=True)
class TunedRun:
    """One run of a search. `state`: finished, diverged or pruned; `value`: None unless it finished."""

    run: int
    settings: Mapping[str, Any]
    value: float | None
    state: str
    seconds: float | None
    reason: str


@dataclass(frozen=True, repr=False)
class SearchResult:
    """How a search ended.

    `verdict`: what is handed over, why, and the paired differences of the race; None where no run finished.
    `best_expected`: the setting that the search's own runs together favour; `best_observed`: the run with the best
    value, in part by luck. `confirmed`: the values of "start", "incumbent" and "runner-up" with fresh seeds, None for a
    run that diverged. `flatness`: what two doublings or halvings along each axis change, above 0 where better, also for
    losses. `stopped`: why the search ended. Settings have the names that they have in the start.
    """

    study: str
    direction: str
    tuned: tuple[TunedRun, ...]
    best_expected: Best | None
    best_observed: Best | None
    confirmed: Mapping[str, list[float | None]]
    flatness: tuple[Flatness, ...]
    stopped: str
    verdict: Verdict | None = None
    log_scale: frozenset[str] = frozenset()

    @property
    def best(self) -> dict[str, Any] | None:
        """The setting to use: what is handed over, which may be the start; None where no run finished."""
        return None if self.verdict is None else dict(self.verdict.hyperparameters)

    @property
    def runs(self) -> pd.DataFrame:
        """The runs as a table, one row each, by run number. Raises MissingExtra without pandas."""
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            if (missing := missing_extra(error)) is None:
                raise
            raise missing from error
        rows = [
            {
                "run": one.run,
                **one.settings,
                "value": math.nan if one.value is None else one.value,
                "state": one.state,
                "seconds": one.seconds,
                "reason": one.reason,
            }
            for one in self.tuned
        ]
        columns = ["run", *(self.tuned[0].settings if self.tuned else ()), "value", "state", "seconds", "reason"]
        return pd.DataFrame(rows, columns=columns).set_index("run")

    def figure(self) -> Figure:
        """The best value so far, and the value against each hyperparameter."""
        from matplotlib.figure import Figure

        names = [name for name in (self.tuned[0].settings if self.tuned else ()) if self._varies(name)]
        figure = Figure(figsize=(3.2 * (1 + len(names)), 2.8), layout="constrained")
        first, *others = figure.subplots(1, 1 + len(names), sharey=True, squeeze=False)[0]
        finished = [(one, one.value) for one in self.tuned if one.value is not None]
        numbers, values = [one.run for one, _ in finished], [value for _, value in finished]
        first.plot(numbers, values, "o", markersize=4, label="run")
        first.step(numbers, self._so_far(values), where="post", label="best so far")
        first.set(xlabel="run", ylabel="value")
        first.legend()
        for axes, name in zip(others, names, strict=True):
            axes.plot([one.settings[name] for one, _ in finished], values, "o", markersize=4)
            if self.best is not None:
                axes.axvline(self.best[name], linewidth=1, color="C1")
            axes.set(xlabel=name, **({"xscale": "log"} if name in self.log_scale else {}))
        return figure

    def _varies(self, name: str) -> bool:
        return len({str(one.settings[name]) for one in self.tuned}) > 1

    def _so_far(self, values: Sequence[float]) -> list[float]:
        pick = max if self.direction == "maximize" else min
        return [pick(values[: end + 1]) for end in range(len(values))]

    def __repr__(self) -> str:
        """What a prompt shows: the settings found and how far to trust them, without every run."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        lines = [f"study {self.study}: {len(self.tuned)} runs, {self.direction}; {self.stopped}"]
        for label, best in (("best expected", self.best_expected), ("best observed", self.best_observed)):
            if best is not None:
                settings = " ".join(f"{name}={shown_setting(value)}" for name, value in best.settings.items())
                ends = [value_text(end, "", SHOWN) for end in best.interval or ()]
                interval = f" (90 % {ends[0]} to {ends[1]})" if ends else ""
                lines.append(f"{label}: {settings}, {value_text(best.value, '')}{interval}, run {best.run}")
        known = significant(value for told in self.confirmed.values() for value in told)
        for what, told in self.confirmed.items():
            own = self.verdict and self.verdict.leads.get(what)
            behind = f", {lead_text(own, '')}" if own else ""
            lines.append(f"confirmed, {counted(len(told))}: {what} {mean_text(told, '', known)}{behind}")
        return [*lines, *(verdict_lines(self.verdict) or ["no run has a value: there is nothing to hand over"])]

    def _repr_html_(self) -> str:
        """The lines above, then a table of the runs."""
        names = list(self.tuned[0].settings) if self.tuned else []
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in ["run", *names, "value", "", "why"])
        rows = []
        for one in self.tuned:
            chosen = one.settings == self.best
            value = value_text(one.value, "")
            cells = [str(one.run), *(shown_setting(one.settings[name]) for name in names), value]
            cells += ["" if one.state == "finished" else one.state, one.reason]
            style = " style='font-weight:bold'" if chosen else ""
            rows.append(f"<tr{style}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
        lines = "<br>".join(html.escape(line) for line in self._lines())
        return f"<p>{lines}</p><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
