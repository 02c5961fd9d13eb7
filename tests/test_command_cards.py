"""Cards and threads of a run, with a stand-in for nvidia-smi."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flatdirs.errors import ConfigError
from flatdirs.objectives.command.cards import Cards, share_cards, visible_devices

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX's")

A, B, C = "GPU-aaaa1111-0000", "GPU-aaaa2222-0000", "GPU-bbbb3333-0000"
PART1, PART2 = "MIG-1111-0000", "MIG-2222-0000"
H100 = "NVIDIA H100 80GB HBM3"
THREE = "".join(f"GPU {i}: {H100} (UUID: {uuid})\n" for i, uuid in enumerate((A, B, C)))
MIXED = f"GPU 0: NVIDIA T400 (Quiet) (UUID: {A})\nGPU 1: {H100} (UUID: {B})\n"
SPLIT = (
    f"GPU 0: {H100} (UUID: {A})\n  MIG 3g.40gb     Device  0: (UUID: {PART1})\n"
    f"  MIG 4g.40gb     Device  1: (UUID: {PART2})\nGPU 1: {H100} (UUID: {B})\n"
)

Machine = Callable[..., dict[str, str]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The environment of a machine on which only these programs are found, with these variables."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    programs = tmp_path / "bin"
    programs.mkdir()

    def make(listing: str | None, code: int = 0, program: str = "nvidia-smi", **variables: str) -> dict[str, str]:
        if listing is not None:
            script = (
                f'#!/bin/sh\n[ "$*" = -L ] || exit 99\nwhile read -r line; do :; done\n/bin/cat <<"E"\n{listing}E\n'
            )
            (programs / program).write_text(f"{script}exit {code}\n")
            (programs / program).chmod(0o700)
        return {"PATH": str(programs), "TMPDIR": str(tmp_path), **variables}

    return make


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, (A, B, C)),
        ("2,0", (C, A)),
        (C, (C,)),
        ("GPU-b, 1", (C, B)),
        ("GPU-a", ()),  # two begin so
        ("0,7,1", (A,)),  # CUDA stops at the first invalid one
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("1,1", (B,)),
    ],
)
def test_cards_within_an_inherited_variable(machine: Machine, visible: str | None, found: tuple[str, ...]) -> None:
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_devices(machine(THREE, **variables)) == found


def test_a_mig_device_is_a_card(machine: Machine) -> None:
    assert visible_devices(machine(SPLIT)) == (PART1, PART2, B)
    assert visible_devices(machine(SPLIT, CUDA_VISIBLE_DEVICES=PART2)) == (PART2,)
    assert visible_devices(machine(SPLIT, CUDA_VISIBLE_DEVICES="0,1")) == (PART1, B)
    with pytest.raises(ConfigError) as caught:
        share_cards(1, 2, False, machine(SPLIT))
    assert caught.value.key == "run.gpus"


def test_indices_among_different_models(machine: Machine) -> None:
    with pytest.raises(ConfigError) as caught:
        visible_devices(machine(MIXED, CUDA_VISIBLE_DEVICES="0"))
    assert caught.value.key == "run.gpus"
    assert visible_devices(machine(MIXED, CUDA_VISIBLE_DEVICES="0", CUDA_DEVICE_ORDER="PCI_BUS_ID")) == (A,)
    assert visible_devices(machine(MIXED, CUDA_VISIBLE_DEVICES=B)) == (B,)


@pytest.mark.parametrize("program", ["rocm-smi", "amd-smi"])
def test_cards_of_amd_are_refused(machine: Machine, program: str) -> None:
    environ = machine("", program=program)
    with pytest.raises(ConfigError) as caught:
        share_cards(2, None, False, environ)
    assert caught.value.key == "run.gpus"
    assert share_cards(1, None, False, environ) == Cards()
    assert share_cards(2, 0, False, environ).hidden


def test_a_broken_driver_is_said(machine: Machine) -> None:
    with pytest.raises(ConfigError) as caught:
        visible_devices(machine("NVIDIA-SMI has failed because it couldn't communicate\n", code=9))
    assert caught.value.key == "run.gpus"
    assert visible_devices(machine("No devices found.\n", code=6)) == ()


@pytest.mark.parametrize(
    ("workers", "gpus", "share", "key"),
    [(4, None, False, "workers"), (2, 2, False, "workers"), (1, 4, True, "run.gpus"), (1, -1, False, "run.gpus")],
)
def test_more_than_there_is(machine: Machine, workers: int, gpus: int | None, share: bool, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        share_cards(workers, gpus, share, machine(THREE))
    assert caught.value.key == key


def test_a_card_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(ConfigError) as caught:
        share_cards(1, 1, False, machine(None))
    assert caught.value.key == "run.gpus"


def test_one_worker_has_the_machine_as_it_is(machine: Machine) -> None:
    with share_cards(1, None, False, machine(THREE)).assign() as variables:
        assert variables == {}


def test_each_run_has_cards_of_its_own(machine: Machine) -> None:
    cards = share_cards(3, None, False, machine(THREE))
    with cards.assign() as first, cards.assign() as second, cards.assign() as third:
        assert [one["CUDA_VISIBLE_DEVICES"] for one in (first, second, third)] == [A, B, C]
    with share_cards(1, 2, False, machine(THREE)).assign() as two:
        assert two == {"CUDA_VISIBLE_DEVICES": f"{A},{B}"}


def test_workers_that_share_cards_use_all_of_them(machine: Machine) -> None:
    cards = share_cards(4, None, True, machine(MIXED))
    with cards.assign() as one, cards.assign() as two, cards.assign() as three, cards.assign() as four:
        given = [each["CUDA_VISIBLE_DEVICES"] for each in (one, two, three, four)]
    assert given == [A, B, A, B]


def test_without_cards_threads_are_shared(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for workers, threads in ((3, "2"), (16, "1")):
        with share_cards(workers, None, False, machine(None)).assign() as variables:
            assert variables == {"OMP_NUM_THREADS": threads}
    with share_cards(2, None, False, machine(None, OMP_NUM_THREADS="5")).assign() as variables:
        assert variables == {}
    with share_cards(2, 0, False, machine(THREE)).assign() as variables:
        assert variables == {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "4"}


def test_a_run_waits_for_a_card(machine: Machine) -> None:
    """Both of two runs that need two cards each get them, though one card is held when they begin to wait."""
    machine(THREE)
    one, two = Cards((A,), 1), Cards((A, B), 2)
    seen: list[str] = []

    def run() -> None:
        with two.assign() as variables:
            seen.append(f"begin {variables['CUDA_VISIBLE_DEVICES']}")
            time.sleep(0.05)
            seen.append("end")

    threads = [threading.Thread(target=run) for _ in range(2)]
    with one.assign():
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        assert seen == []
    for thread in threads:
        thread.join()
    assert seen == [f"begin {A},{B}", "end"] * 2


HOLD = """
import sys, time
from flatdirs.objectives.command.cards import Cards
print("up", flush=True)
with Cards((sys.argv[1],), 1).assign():
    print("begin", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_process_frees_its_card(machine: Machine, tmp_path: Path) -> None:
    """One process holds the card, a second waits; the first is killed with -9, and the second has the card."""
    environ = {**os.environ, "TMPDIR": machine(THREE)["TMPDIR"]}

    def start(name: str) -> subprocess.Popen[bytes]:
        with (tmp_path / name).open("w") as file:
            return subprocess.Popen([sys.executable, "-c", HOLD, A], stdout=file, env=environ)

    def wait_for(name: str, words: str) -> None:
        while (tmp_path / name).read_text().split() != words.split():
            time.sleep(0.02)

    first = start("first")
    try:
        wait_for("first", "up begin")
        second = start("second")
        try:
            wait_for("second", "up")
            time.sleep(0.5)
            wait_for("second", "up")
            first.kill()
            wait_for("second", "up begin")
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()


def test_the_locks_of_another_user_are_not_used(machine: Machine, tmp_path: Path) -> None:
    machine(THREE)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"flatdirs-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(ConfigError) as caught, Cards((A,), 1).assign():
        raise AssertionError
    assert caught.value.key == "run.gpus"
