"""Replay: the same answers give the same questions, from any prefix; speculation asks what is still to be known."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs.search import Descent, Outcome, Rules, make
from flatdirs.search.replay import EFFORT, proposals, trace
from flatdirs.space.coordinates import Point
from flatdirs.space.grid import Grid
from flatdirs.space.library import named_chart

LATTICE = Grid(named_chart("sgd"), {"lr": 0.001, "momentum": 0.5, "wd": 0.01})
START: Point = (0, 0, 0)


def search() -> Descent:
    return make("myrtle", LATTICE, Rules())()


def random_surface(seed: int) -> dict[Point, Outcome]:
    """The answers of a whole search on a bumpy bowl, in the order they were asked for."""
    centre = [(seed * prime) % 11 - 5 for prime in (3, 5, 7)]
    answers: dict[Point, Outcome] = {}
    while (question := trace(search, answers).pending) is not None:
        point = question.point
        bump = hash((seed, *point)) % 7
        score = bump - 3.0 * sum((n - c) ** 2 for n, c in zip(point, centre, strict=True))
        state = "diverged" if hash((*point, seed)) % 9 == 0 and point != START else "finished"
        answers[point] = Outcome(state, score, at_chance=False)  # type: ignore[arg-type]
    return answers


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_resuming_from_every_prefix_asks_the_same_again(seed: int) -> None:
    answers = list(random_surface(seed).items())
    for length, (point, _) in enumerate(answers):
        pending = trace(search, dict(answers[:length])).pending
        assert pending is not None
        assert pending.point == point
    assert trace(search, dict(answers)).over


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_answers_that_came_early_change_nothing(seed: int) -> None:
    """Speculated runs finish before they are asked for; the winner and the steps are those of one worker alone."""
    answers = random_surface(seed)
    alone = trace(search, answers)
    more = {**answers, (50, 0, 0): Outcome(score=1e9), (0, 50, 0): Outcome(score=1e9)}
    assert trace(search, dict(reversed(more.items()))) == alone


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.data())
def test_proposals_are_new_distinct_and_begin_with_the_open_question(seed: int, data: st.DataObject) -> None:
    answers = list(random_surface(seed).items())
    known = dict(answers[: data.draw(st.integers(0, len(answers) - 1))])
    pending = trace(search, known).pending
    assert pending is not None
    offered = [question.point for question in itertools.islice(proposals(search, known), 12)]
    assert offered[0] == pending.point
    assert len(set(offered)) == len(offered)
    assert not set(offered) & set(known)
    busy = set(offered[: data.draw(st.integers(1, len(offered)))])
    instead = [question.point for question in itertools.islice(proposals(search, known, busy), 12)]
    assert not set(instead) & busy
    assert not set(instead) & set(known)


def test_the_next_guess_is_the_likelier_one() -> None:
    """After a gain the line goes on, else the next axis comes; a first step fails as often as not: both are offered."""
    climbing = {(n, 0, 0): Outcome(score=float(n), at_chance=False) for n in range(4)}
    offered = [question.point for question in proposals(search, climbing)]
    assert offered[:3] == [(4, 0, 0), (5, 0, 0), (3, 1, 0)]
    fresh = [question.point for question in proposals(search, {START: Outcome(score=0.0, at_chance=False)})]
    assert set(fresh[1:3]) == {(2, 0, 0), (-1, 0, 0)}


def test_every_answer_to_the_open_question_was_foreseen() -> None:
    """With both follow-ups run ahead, whatever the pending run gives, the next question is answered already."""
    climbing = {(n, 0, 0): Outcome(score=float(n), at_chance=False) for n in range(3)}
    pending, *rest = (question.point for question in itertools.islice(proposals(search, climbing), 6))
    for score in (10.0, -10.0):
        following = trace(search, {**climbing, pending: Outcome(score=score, at_chance=False)}).pending
        assert following is not None
        assert following.point in rest


def test_the_tree_of_guesses_is_bounded() -> None:
    """It tries EFFORT histories and stops, however many points are taken."""
    assert 10 < len(list(proposals(search, {}))) <= EFFORT


def test_before_the_start_is_known_its_neighbours_are_offered() -> None:
    offered = [question.point for question in itertools.islice(proposals(search, {}, {START}), 2)]
    assert offered[0] == (1, 0, 0)


def test_nothing_is_proposed_once_the_search_is_over() -> None:
    answers = random_surface(1)
    assert list(proposals(search, answers)) == []


def test_a_question_says_why_it_is_asked() -> None:
    run = trace(search, {(n, 0, 0): Outcome(score=float(n), at_chance=False) for n in range(3)})
    assert run.pending is not None
    assert (run.pending.axis, run.pending.move, run.pending.incumbent) == (0, "double", (2, 0, 0))
    assert run.pending.reason == "double lr·wd/(1−momentum) again: the last step was better"
    assert [step.verdict.judgement for step in run.steps] == ["better", "better", "better"]
