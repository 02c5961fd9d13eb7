"""`make verify-results`, which CI runs on all that is committed, notices a changed number wherever it stands."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import pages, verify
from tests.conftest import ROOT

KEPT = ("latency", "myrtle_table")  # no block of README.md is theirs


@pytest.fixture
def small_copy(tmp_path: Path) -> Path:
    """Two of the benchmarks, and README.md without what the others say, in a folder where they may be changed."""
    others = [page.parent.name for page in ROOT.glob("benchmarks/*/page.py") if page.parent.name not in KEPT]
    away = shutil.ignore_patterns("studies", "__pycache__", *others)
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks", ignore=away)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"<!-- (\S+) -->\n.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    return tmp_path


def verified(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run on the copy."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    command = [sys.executable, "-m", "benchmarks.verify", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def change(path: Path, old: str, new: str) -> None:
    """One replacement in a file, which must hold it."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_changed_number_is_noticed_in_the_page_and_in_the_raw_file(small_copy: Path) -> None:
    change(small_copy / "benchmarks/myrtle_table/README.md", "53.40 %", "53.41 %")
    change(small_copy / "benchmarks/latency/result.json", "12.3669", "52.3669")
    (small_copy / "benchmarks/latency/more.md").write_text("a page that nothing draws\n", encoding="utf-8")
    done = verified(small_copy)
    assert done.returncode == 1
    assert "myrtle_table/README.md differs in line" in done.stderr
    assert "53.41 %" in done.stderr
    assert "latency/result.md differs in line" in done.stderr
    assert "latency/more.md is drawn by nothing" in done.stderr
    (small_copy / "benchmarks/latency/more.md").unlink()
    assert verified(small_copy, "--write").returncode == 0
    assert verified(small_copy).returncode == 0
    assert "53.40 %" in (small_copy / "benchmarks/myrtle_table/README.md").read_text(encoding="utf-8")


def test_a_changed_number_in_readme_is_noticed(small_copy: Path) -> None:
    quoting = 'def readme_blocks():\n    return {"think": "thinks for 0.89 ms"}\n'
    with (small_copy / "benchmarks/latency/page.py").open("a", encoding="utf-8") as file:
        file.write("\n\n" + quoting)
    assert "README.md has no block <!-- think -->" in verified(small_copy).stderr
    with (small_copy / "README.md").open("a", encoding="utf-8") as file:
        file.write("\n<!-- think -->\nthinks for 0.98 ms\n<!-- /think -->\n\n<!-- made-up -->\n7\n<!-- /made-up -->\n")
    done = verified(small_copy)
    assert done.returncode == 1
    assert "block <!-- think --> differs in line 1" in done.stderr
    assert "block <!-- made-up --> is drawn by nothing" in done.stderr
    assert verified(small_copy, "--write").returncode == 0
    assert "<!-- think -->\nthinks for 0.89 ms\n<!-- /think -->" in (small_copy / "README.md").read_text(
        encoding="utf-8"
    )


def figure(top: float) -> bytes:
    """A small plot."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(2, 2))
    drawn.subplots().plot([0, 1], [0, top])
    return pages.png(drawn, 50)


def test_figures_are_compared_by_what_they_show(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    committed = figure(1)
    assert verify.figure_difference(committed, figure(1)) == ""
    assert "pixels" in verify.figure_difference(committed, figure(2))
    with Image.open(io.BytesIO(figure(2))) as image:  # without the version's name: drawn by another matplotlib
        image.save(tmp_path / "other.png")
    assert verify.figure_difference((tmp_path / "other.png").read_bytes(), committed) == ""
