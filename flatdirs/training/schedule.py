"""The learning rate over a run: up along a straight line, then down along another.

The source's schedule (reference/004): 0 at the start, the maximum after 5 of 24 epochs, 0 at the end. A pure function
of the step, so a run needs no scheduler object, nothing to save and nothing to resume.

The two lines are read at the middle of a step, (step + ½) / total: neither the first nor the last step is spent at
rate 0, and the multipliers of a run sum to total/2, the area of the triangle, up to the one step that holds the peak.
Reading them at the beginning of a step (rate 0 for the first) or at its end (rate 0 for the last) each wastes one.
"""

from __future__ import annotations


def triangle(step: int, total_steps: int, warmup_fraction: float = 5 / 24) -> float:
    """The multiplier of the maximal learning rate at `step`, in [0, 1].

    Rises linearly from 0 over the first `warmup_fraction` of all steps, then falls linearly to 0, read at the middle of
    the step. 0 warms up not at all, 1 never comes down. Source: reference/004; the midpoint is ours.

    Args:
        step: 0 for the first step; values outside [0, total_steps) give the nearest end's 0.
        total_steps: how many steps the run has.
        warmup_fraction: in [0, 1].
    """
    done = (step + 0.5) / total_steps
    if not 0.0 < done < 1.0:
        return 0.0
    if done < warmup_fraction:
        return done / warmup_fraction
    return (1.0 - done) / (1.0 - warmup_fraction)
