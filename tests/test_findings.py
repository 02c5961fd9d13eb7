"""What the default search says it has learnt: flat axes, products that count, seed noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from flatdirs.report.findings import finding_lines
from flatdirs.search import grid_chart
from flatdirs.search.flatness import FEWEST, Findings, Flatness
from flatdirs.search.types import Run
from flatdirs.space.chart_for import chart_for
from flatdirs.space.further import Further, with_further
from flatdirs.space.grid import Grid
from tests.runs import result
from tests.searches import HEIGHT, Values, bare, bowl_at, grid_of, noisy, search_on


class TestFindings:
    @staticmethod
    def found(cost: Callable[[list[float]], float], runs: int = 20) -> Findings:
        grid = grid_of()
        bowl = bowl_at(grid, 3, 2, -3)
        findings = search_on(grid, bare(lambda values: HEIGHT - cost(bowl.off(values))), runs).findings
        assert findings is not None
        return findings

    def test_too_few_runs_say_nothing(self) -> None:
        grid = grid_of()
        surface = bare(bowl_at(grid, 3, 2, -3))
        assert search_on(grid, surface, FEWEST - 1).findings is None
        assert search_on(grid, surface, FEWEST).findings is not None

    def test_what_matters_is_not_flat(self) -> None:
        found = self.found(lambda off: off[0] ** 2 + 0.3 * off[1] ** 2 + 0.3 * off[2] ** 2)
        assert {one.axis for one in found.flatness} == {"lr·wd/(1−momentum)", "1−momentum", "wd"}
        assert not any(one.flat for one in found.flatness)
        for one in found.flatness:
            assert one.low <= one.mean <= one.high
            assert one.mean < 0, "the best is the best"
            assert one.factor == pytest.approx(4) or one.factor == pytest.approx(1 / 4)

    @pytest.mark.slow
    @pytest.mark.parametrize("deviation", [0.3, 0.6])
    def test_what_does_not_matter_is_within_seed_noise_after_25_runs(self, deviation: float) -> None:
        """Weight decay and momentum at the same lr·wd/(1−momentum), from most of four seeds."""
        grid, told = grid_of(), list[tuple[str, bool]]()
        bowl = bowl_at(grid, 3, 2, -3)
        for seed in range(4):
            surface = noisy(lambda values: HEIGHT - bowl.off(values)[0] ** 2, seed, deviation)
            findings = search_on(grid, surface, 25).findings
            assert findings is not None
            told += [(one.axis, one.flat or one.unclear) for one in findings.flatness]
        flat = [within for axis, within in told if axis in ("wd", "1−momentum")]
        assert sum(flat) >= 2 / 3 * len(flat)
        assert not any(within for axis, within in told if axis == "lr·wd/(1−momentum)")

    def test_what_does_not_matter_is_told_from_what_does(self) -> None:
        """The interval of a flat axis holds zero and lies within the change of a point; the steep one's does not."""
        found = self.found(lambda off: off[0] ** 2 + 0.15 * off[1] ** 2)
        flat_ones = [one for one in found.flatness if one.axis == "wd"]
        assert len(flat_ones) == 2
        assert all(one.low < 0 < one.high and -one.low < 1 for one in flat_ones)
        assert all(one.mean < -1 and one.high < 0 for one in found.flatness if one.axis == "lr·wd/(1−momentum)")

    @pytest.mark.slow
    @pytest.mark.parametrize("deviation", [0.0, 0.3])
    @pytest.mark.parametrize(
        ("chart", "powers", "name"),
        [
            ("sgd", {"lr": 1, "momentum": -1, "wd": 1}, "lr·wd/(1−momentum)"),
            ("sgd", {"lr": 1, "momentum": -1}, "lr/(1−momentum)"),
            ("sgd_batch", {"lr": 1, "batch_size": -0.5}, "lr·batch_size^−0.5"),
            ("adamw", {"lr": 1, "wd": 1}, "lr·wd"),
            ("adamw", {"lr": 1}, "lr"),
        ],
    )
    def test_the_product_that_counts_is_recognised_and_said(
        self, chart: str, powers: Values, name: str, deviation: float
    ) -> None:
        """Whatever the chart takes it for: a narrow valley along which that product is constant."""
        grid = grid_of(chart)
        top = grid.hyperparameters((3, 2, -2, 1)[: len(grid.chart.axes)])

        def value(values: Values) -> float:
            inner = grid.chart.inner
            off = {one: math.log2(inner(one, values[one]) / inner(one, top[one])) for one in grid.chart.free}
            across = sum(power * off[one] for one, power in powers.items())
            return HEIGHT - across**2 - 0.1 * sum(n * n for one, n in off.items() if abs(powers.get(one, 0)) != 1)

        findings = search_on(grid, noisy(value, 0, deviation), 25).findings
        assert findings is not None
        assert findings.steep[0][0] == name
        assert findings.steep[0][1] > 0.5
        assert math.fsum(probability for _, probability in findings.steep) == pytest.approx(1)
        assert any(name in line and "what counts" in line for line in finding_lines(findings, "", True))

    def test_where_each_counts_for_itself_that_is_said(self) -> None:
        """Equally steep along lr, 1 − momentum and wd."""
        grid = grid_of()

        def surface(values: Values) -> float:
            off = [math.log2(values["lr"] / 0.2), math.log2((1 - values["momentum"]) / 0.2)]
            return HEIGHT - sum(n * n for n in [*off, math.log2(values["wd"] / 2e-4)])

        findings = search_on(grid, bare(surface), 25).findings
        assert findings is not None
        assert findings.steep[0][0] in ("", "lr")
        assert findings.steep[0][1] > 0.5

    @pytest.mark.slow
    @pytest.mark.parametrize("deviation", [0.3, 1.0, 3.0])
    def test_the_noise_is_measured(self, deviation: float) -> None:
        grid = grid_of()
        told = []
        for seed in range(3):
            findings = search_on(grid, noisy(bowl_at(grid, 1, 0, 0), seed, deviation), 25).findings
            assert findings is not None
            told.append(findings.flatness[0].noise)
        assert 0.5 < sorted(told)[1] / deviation < 2

    def test_where_nothing_makes_a_difference_the_start_is_as_good_as_anything(self) -> None:
        search = search_on(grid_of(), bare(lambda values: 0.7 + 1e-15 * math.log(values["lr"])), 12)
        assert search.findings == Findings((0, 0, 0), pytest.approx(0.7), even=True)
        assert search.winner == search.values[0]

    @pytest.mark.parametrize("state", ["diverged", "pruned"])
    def test_runs_that_did_not_finish_make_a_difference(self, state: str) -> None:
        def surface(values: dict[str, float]) -> Run:
            return result(value=90.0) if values["lr"] <= 0.1 else result(state)  # type: ignore[arg-type]

        search = search_on(grid_of(), surface, 9)
        assert search.findings is not None
        assert not search.findings.even
        if state == "pruned":
            assert not any("diverged" in question.reason for question in search.suggestions)

    @pytest.mark.parametrize(
        ("low", "high", "flat", "unclear"),
        [(-1.3, 0.2, True, True), (-2.0, 0.4, False, True), (-4.0, 0.4, False, False)],
    )
    def test_flat_is_what_another_seed_may_change(self, low: float, high: float, flat: bool, unclear: bool) -> None:
        one = Flatness("wd", 4.0, (low + high) / 2, low, high, 1.0)
        assert (one.flat, one.unclear) == (flat, unclear)

    def test_what_is_held_is_in_no_product(self) -> None:
        grid = grid_of(fixed=("wd",))
        findings = search_on(grid, bare(bowl_at(grid, 3, 2)), 8).findings
        assert findings is not None
        assert {name for name, _ in findings.steep} == {"lr/(1−momentum)", "lr", ""}

    def test_without_known_hyperparameters_there_are_no_products(self) -> None:
        chart, start = with_further(chart_for([]), [Further("alpha", 0.9, 0, 1), Further("beta", 1.0, 0.1, 10)])
        grid = Grid(grid_chart("flatdirs", chart), start)
        search = search_on(grid, bare(lambda values: -values["alpha"] - math.log(values["beta"]) ** 2), 10)
        assert search.findings is not None
        assert search.findings.steep == ()
