"""A learning-rate finder by step sampling, for any torch model: short probes from one state, a curve, a pick.

    batches.py    what a probe trains on      snapshot.py    the state it begins from, and leaves behind
    probe.py      a probe                     randomness.py  the random generators among it
    curve.py      losses → points of interest (no torch)     placement.py   where to probe next (no torch)
    finder.py     find_learning_rate          result.py, figure.py, progress.py    the answer

Nothing of it needs the rest of flatdirs but its errors. Source: reference/001.
"""
