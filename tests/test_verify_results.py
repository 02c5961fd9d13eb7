"""`make verify-results` notices a changed number wherever it stands; figures are compared by what they show."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

import benchmarks
from benchmarks import drawing, pages, rows, verify

PAGE = """
import json
from benchmarks import drawing

def values(folder):
    rows = json.loads((folder / "rows.json").read_text())
    return {"best": f"{max(rows):.2f}", "all": str(rows)}

def figures(folder):
    figure, (axes,) = drawing.canvas(width=2, height=2)
    axes.plot(json.loads((folder / "rows.json").read_text()))
    return {"rows.png": drawing.png(figure, 50)}
"""
TEXT = "The best is <!-- best -->?<!-- /best -->.\n\n<!-- all -->\nrows:\n<!-- /all -->\n"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One made-up benchmark and a README.md that quotes it, in a folder of their own."""
    folder = tmp_path / "benchmarks/made_up"
    folder.mkdir(parents=True)
    for name, text in (("page.py", PAGE), ("rows.json", "[1, 3, 2]"), ("README.md", TEXT)):
        (folder / name).write_text(text, encoding="utf-8")
    (tmp_path / "README.md").write_text("<!-- made_up:best -->?<!-- /made_up:best -->\n", encoding="utf-8")
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(folder.parent)])
    monkeypatch.setattr(pages, "HERE", folder.parent)
    monkeypatch.setattr(pages, "README", tmp_path / "README.md")
    return tmp_path


def test_changed_rows_pages_figures_and_quotations_are_noticed(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def verified(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["verify", *arguments])
        code, said = verify.main(), capsys.readouterr().err
        assert code == bool(said)
        return said

    folder, readme = copy / "benchmarks/made_up", copy / "README.md"
    assert not verified("--write") + verified()
    filled = TEXT.replace("?", "3.00").replace("rows:", "[1, 3, 2]")
    assert (folder / "README.md").read_text(encoding="utf-8") == filled
    (folder / "README.md").write_text(filled.replace("3.00", "3.01"), encoding="utf-8")
    assert "<!-- best --> says\n  3.01\n" in verified()
    (folder / "rows.json").write_text("[1, 4, 2]", encoding="utf-8")
    with readme.open("a", encoding="utf-8") as file:
        file.write("<!-- made_up:worst -->1<!-- /made_up:worst -->")
    (folder / "more.png").write_bytes(b"")
    said, problems = verified(), ("<!-- all --> says", "rows.png differs", "more.png is not drawn", "nothing computes")
    assert all(problem in said for problem in (*problems, "<!-- made_up:best --> says"))
    (folder / "more.png").unlink()
    assert not verified("--write", "made_up") + verified("made_up")
    assert readme.read_text(encoding="utf-8").startswith("<!-- made_up:best -->4.00<")


def test_figures_are_compared_by_what_they_show(tmp_path: Path) -> None:
    drawn = []
    for top in (1, 1, 2):
        figure, (axes,) = drawing.canvas(width=2, height=2)
        axes.plot([0, 1], [0, top])
        drawn.append(drawing.png(figure, 50))
    assert verify.figure_difference(drawn[0], drawn[1]) == ""
    assert "pixels" in verify.figure_difference(drawn[0], drawn[2])
    with Image.open(io.BytesIO(drawn[2])) as image:  # without the version's name: drawn by another matplotlib
        image.save(tmp_path / "other.png")
    assert verify.figure_difference((tmp_path / "other.png").read_bytes(), drawn[0]) == ""


def test_a_row_that_a_kill_cut_off_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows.append(path, {"seed": 0, "accuracy": "94.00"})
    path.write_text(path.read_text(encoding="utf-8") + "1,9", encoding="utf-8")
    assert rows.read(path) == [{"seed": "0", "accuracy": "94.00"}]
    rows.append(path, {"seed": 1, "accuracy": "93.00"})
    assert [row["accuracy"] for row in rows.read(path)] == ["94.00", "93.00"]
