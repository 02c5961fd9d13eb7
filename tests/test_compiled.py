"""compile=true: compiled once per process, the same results, an error without a compiler."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flatdirs.objectives.image import ImageObjective
from flatdirs.training.loop import train
from tests.conftest import spawn
from tests.test_training_loop import config

pytestmark = pytest.mark.slow
COMPILER = any(map(shutil.which, ("c++", "g++", "clang++")))


@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler on the CPU, and there is none here")
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # what torch says of itself while compiling
def test_a_search_compiles_once() -> None:
    from torch._dynamo.utils import counters  # seconds, which other tests need not wait for

    plain = config(threads=1, precision="fp32")
    compiled = replace(plain, compile=True)
    first = train(compiled)
    assert first.compile_seconds > 0
    before = {name: dict(counters[name]) for name in ("stats", "frames", "inductor")}
    assert before["stats"]["unique_graphs"] >= 1
    other = {"lr": 0.05, "momentum": 0.9, "wd": 1e-3, "seed": 3}
    second = train(replace(compiled, **other))
    assert second.compile_seconds == 0
    assert {name: dict(counters[name]) for name in before} == before
    for config_, result in ((plain, first), (replace(plain, **other), second)):
        eager = train(config_)
        assert eager.compile_seconds == 0
        assert result.steps == eager.steps
        assert result.loss == pytest.approx(eager.loss, rel=1e-3)
        assert [e.train_loss for e in result.epochs] == pytest.approx([e.train_loss for e in eager.epochs], rel=1e-3)
    objective = ImageObjective(plain.task, plain.data, "cpu", "fp32", 1, compile=True)
    rates = {"lr": 0.2, "momentum": 0.8, "wd": 1e-2}
    assert objective.measure(rates, [7], lambda *_: None).provenance["compile_seconds"] == 0
    assert dict(counters["stats"]) == before["stats"]


def test_a_missing_compiler_is_an_error_of_one_line(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-compiler")
    process = spawn("flatdirs.train", "compile=true", "device=cpu", cwd=tmp_path, CXX=missing)
    _, err = process.communicate(timeout=250)
    assert process.returncode == 2
    assert "compile=true" in err
    assert "Traceback" not in err
