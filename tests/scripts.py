"""Programs of users, small and quick, whose `flatdirs tune -- …` the tests run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flatdirs.backend.storages import close_storage, open_storage
from flatdirs.backend.study import Study, view_study

TRAIN = """
lr=0.1 wd=0.001 momentum=0.9 dropout=0 opt=sgd seed=0 out=/dev/null
while [ $# -gt 1 ]; do
    case $1 in
        --lr) lr=$2 ;; --weight-decay) wd=$2 ;; --momentum) momentum=$2 ;; --dropout) dropout=$2 ;;
        --opt) opt=$2 ;; --seed) seed=$2 ;; --out) out=$2 ;;
    esac
    shift 2
done
"""
VALUE = """
noise="$(od -An -N4 -tu4 /dev/urandom)"
awk -v lr=$lr -v wd=$wd -v m=$momentum -v d=$dropout -v o=$opt -v seed=$seed -v noise="$noise" 'BEGIN {
    c = log(lr * wd / (1 - m) / 0.01) / log(2); b = o == "adam" ? 1 : 0
    c = 90 - c * c - 40 * (d - 0.2) ^ 2 + b + seed / 100 + noise / 4294967296 / 10
    printf "epoch 1 train_loss 2.0 val_acc %.5f\\nepoch 2 train_loss 1.0 val_acc %.7f\\n", 50, c
}'
"""


def script(folder: Path, before: str = "", after: str = VALUE, name: str = "train.sh") -> list[str]:
    """A shell script with --lr, --weight-decay and the like; the words that run it. `before`: with these as $lr …"""
    (folder / name).write_text(TRAIN + before + after, encoding="utf-8")
    return ["sh", name]


def python(folder: Path, body: str, name: str = "train.py") -> list[str]:
    """A Python script, in which `lr` is the number behind --lr; the words that run it."""
    head = "import math, os, sys, time\nlr = float(sys.argv[sys.argv.index('--lr') + 1])\n"
    (folder / name).write_text(head + body, encoding="utf-8")
    return ["python", name]


def study_in(folder: Path, name: str) -> Study:
    """A stored study, with all of its trials read."""
    storage = open_storage("journal", folder / "studies" / name, reading=True)
    study = view_study(storage, name)
    study.trials()
    close_storage(storage)
    return study


def settings_of(study: Study) -> list[Mapping[str, Any]]:
    """The hyperparameters of each run."""
    return [trial.user_attrs["flatdirs:setting"]["hyperparameters"] for trial, _ in study.runs()]


def states(study: Study) -> list[str]:
    """How each run ended."""
    return [run.state for _, run in study.runs()]


def everything_stored(folder: Path) -> str:
    """The text of all files of all studies."""
    files = [path for path in (folder / "studies").rglob("*") if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def tamper(journal: Path, old: str, new: str) -> None:
    """Replace a text in every record of a journal."""
    lines = [json.dumps(json.loads(line)).replace(old, new) for line in journal.read_text().splitlines()]
    journal.write_text("\n".join(lines) + "\n", encoding="utf-8")
