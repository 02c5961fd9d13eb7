"""Which card (GPU) or how many threads a run gets, when several runs share a machine.

Cards are known by the UUIDs that nvidia-smi prints; torch is not needed. One that is in use is a locked file in a
folder of this user; the kernel lets go of the lock when the process that holds it ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flatdirs.errors import ConfigError
from flatdirs.setting_checks import require_integer, wrong

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 0.2
SMI_SECONDS = 60  # nvidia-smi can be slow on a machine with many cards without its daemon

_CARD = re.compile(r"^GPU (\d+): (.*) \(UUID: (GPU-[^)\s]+)\)")
_PART = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)\s]+)\)")


@dataclass(frozen=True)
class _Card:
    """A card of this machine; `parts`: its MIG devices, each of which stands for a card."""

    model: str
    uuid: str
    parts: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        return self.parts or (self.uuid,)


@dataclass(frozen=True)
class Cards:
    """What the runs of one search share: devices (UUIDs) with `slots` runs each, `per_run` for a run.

    Without devices a run gets `threads` (OMP_NUM_THREADS); with neither, its environment stays as it is. `hidden`: the
    runs are kept from cards (run.gpus=0).
    """

    devices: tuple[str, ...] = ()
    per_run: int = 0
    slots: int = 1
    threads: int | None = None
    hidden: bool = False

    @contextlib.contextmanager
    def assign(self) -> Iterator[dict[str, str]]:
        """Wait for free devices, and yield the environment variables of a run that has them; free them afterwards."""
        if self.devices:
            with _hold(self.devices, self.per_run, self.slots) as held:
                yield {VISIBLE: ",".join(held)}
            return
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        yield {VISIBLE: "", **threads} if self.hidden else threads


def share_cards(workers: int, gpus: int | None, share: bool, environ: Mapping[str, str]) -> Cards:
    """Return what each run of `workers` workers gets. `gpus` is run.gpus, `share` is run.share.

    One worker with gpus=None has the machine as it is. Several have a card each if there are any, else a fair share of
    the CPU's threads (unless OMP_NUM_THREADS is set). Cards are those of an inherited CUDA_VISIBLE_DEVICES. Raises
    ConfigError: run.gpus for what this machine does not have, workers for more workers than cards without `share`.
    """
    if gpus is not None:
        require_integer("run.gpus", gpus, 0)
    if gpus is None and workers == 1:
        return Cards()
    devices = () if gpus == 0 else visible_devices(environ)
    if not devices:
        if gpus:
            raise wrong("run.gpus", gpus, "is more than the cards found here (0)")
        return Cards(threads=fair_threads(workers, environ), hidden=gpus == 0)
    per_run = gpus or 1
    if per_run > len(devices):
        raise wrong("run.gpus", per_run, f"is more than the cards found here ({len(devices)})")
    if per_run > 1 and any(device.startswith("MIG-") for device in devices):
        raise wrong("run.gpus", per_run, "cannot be had from MIG devices: CUDA gives one of them to a process")
    slots = -(-workers * per_run // len(devices))
    if slots > 1 and not share:
        problem = f"needs {workers * per_run} cards, and {len(devices)} were found"
        raise wrong("workers", workers, problem, remedy="change workers or run.gpus, or set run.share=true")
    return Cards(devices, per_run, slots)


def visible_devices(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The UUIDs of the cards and MIG devices that a process with this environment may use; empty without any.

    Raises ConfigError (run.gpus) where they cannot be told: AMD's cards, indices among cards of different models.
    """
    if not shutil.which("nvidia-smi", path=environ.get("PATH")):
        if any(shutil.which(name, path=environ.get("PATH")) for name in ("rocm-smi", "amd-smi")):
            problem = "AMD's cards (ROCm) cannot be shared out among workers"
            raise ConfigError(f"{problem}; set workers=1, or run.gpus=0 for runs on the CPU", key="run.gpus")
        return ()
    cards = _list_cards(environ)
    wanted = environ.get(VISIBLE)
    if wanted is None:
        return tuple(device for card in cards for device in card.devices)
    found: list[str] = []
    for word in (part.strip() for part in wanted.split(",")):
        device = _device(word, cards, environ)
        if device is None:
            break  # as in CUDA: nothing counts from the first invalid one on
        found.append(device)
    return tuple(dict.fromkeys(found))


def _list_cards(environ: Mapping[str, str]) -> list[_Card]:
    """The cards in the order of nvidia-smi (that of the PCI bus)."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SMI_SECONDS,
            check=True,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        if b"No devices" in (getattr(error, "stdout", None) or b""):
            return []
        said = (getattr(error, "stdout", None) or b"").decode(errors="replace").strip() or str(error)
        raise ConfigError(
            f"nvidia-smi failed ({said.splitlines()[0]}); mend the driver, or set run.gpus=0", key="run.gpus"
        ) from None
    cards: list[_Card] = []
    for line in listing.splitlines():
        if card := _CARD.match(line):
            cards.append(_Card(card[2], card[3]))
        elif (part := _PART.match(line)) and cards:
            last = cards.pop()
            cards.append(_Card(last.model, last.uuid, (*last.parts, part[1])))
    return cards


def _device(word: str, cards: list[_Card], environ: Mapping[str, str]) -> str | None:
    """The UUID of one entry of CUDA_VISIBLE_DEVICES: an index, a UUID or the beginning of one."""
    if word.isdigit():
        if len({card.model for card in cards}) > 1 and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            raise ConfigError(
                f"{VISIBLE}={environ[VISIBLE]} counts cards of different models by their speed, nvidia-smi by their "
                "place; set CUDA_DEVICE_ORDER=PCI_BUS_ID or name UUIDs",
                key="run.gpus",
            )
        return cards[int(word)].devices[0] if int(word) < len(cards) else None
    if word.startswith("GPU-"):
        matching = [card.devices[0] for card in cards if card.uuid.startswith(word)]
    else:
        matching = [part for card in cards for part in card.parts if word.startswith("MIG-") and part.startswith(word)]
    return matching[0] if len(matching) == 1 else None


def fair_threads(workers: int, environ: Mapping[str, str]) -> int | None:
    """Threads of a run among `workers`, None where one worker or the user decides."""
    if workers == 1 or environ.get("OMP_NUM_THREADS"):
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


@contextlib.contextmanager
def _hold(devices: tuple[str, ...], count: int, slots: int) -> Iterator[list[str]]:
    """Lock `count` different devices, the emptiest first.

    A process that waits for several holds the gate and keeps what becomes free: so no two wait for each other.
    """
    folder = _lock_folder()
    with contextlib.ExitStack() as held:
        taken: list[str] = []
        with contextlib.ExitStack() as waiting:
            while count > 1 and not _lock(folder / "waiting", waiting):
                time.sleep(POLL_SECONDS)
            while True:
                for slot in range(slots):
                    for device in devices:
                        wanted = len(taken) < count and device not in taken
                        if wanted and _lock(folder / f"{re.sub('[^A-Za-z0-9-]', '_', device)}.{slot}", held):
                            taken.append(device)
                if len(taken) == count:
                    break
                time.sleep(POLL_SECONDS)
        yield sorted(taken, key=devices.index)


def _lock(path: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a file until `stack` ends; False if somebody has it."""
    import fcntl

    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    stack.callback(os.close, file)
    return True


def _lock_folder() -> Path:
    """The folder of this user's locks."""
    if os.name != "posix":
        raise ConfigError("cards cannot be locked on this system; set workers=1 without run.gpus", key="run.gpus")
    folder = Path(tempfile.gettempdir()) / f"flatdirs-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(f"{folder} belongs to another user; set TMPDIR to a folder of yours", key="run.gpus")
    return folder
