"""Where a run computes: device, precision, threads, and the versions that go into its record.

Everything that depends on the machine is decided here, once, from words in the configuration; the loop sees the answer.
"auto" takes the first GPU, else the CPU; and bfloat16 where the hardware multiplies it natively (CUDA capability 8 and
up, CPUs with avx512_bf16 or amx): at width 64 a step is then 2.4 times as fast on such a CPU, at width 8 as fast as
float32 with evaluation twice as fast. Older GPUs get float16 with a gradient scaler, everything else float32.

Memory that torch frees on the CPU is kept by the process (`keep_freed_memory`). As it comes, glibc hands every large
tensor back to the system and each step pays for touching all its pages anew; benchmarks/throughput says how much.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from flatdirs.errors import ConfigError
from flatdirs.training.task import require_choice

PRECISIONS = ("auto", "bf16", "fp16", "fp32")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h; -1 as a value means "never", 0 "none"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve_device(name: str) -> torch.device:
    """The device called `name` (auto, cpu, cuda, cuda:1, mps).

    Raises:
        ConfigError: no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"device={name} is not a device; set device to auto, cpu or cuda") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda" and torch.cuda.is_available():
        index = torch.cuda.current_device() if device.index is None else device.index
        if index < torch.cuda.device_count():
            return torch.device("cuda", index)
    if device.type == "mps" and torch.backends.mps.is_available():
        return device
    raise ConfigError(f"device={name} is not available here; set device=auto or device=cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """bf16, fp16 or fp32 for the word `name` on `device`.

    Raises:
        ConfigError: an unknown word.
    """
    require_choice("precision", name, PRECISIONS)
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "cpu" and _fast_bfloat16_on_cpu():
        return "bf16"
    return "fp32"


def _fast_bfloat16_on_cpu() -> bool:
    """Whether this CPU has bfloat16 dot products; False where torch cannot say."""
    return any(_cpu_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _cpu_capabilities() -> dict[str, object]:
    """What torch knows of the CPU; nothing before it learnt to say (torch 2.4 cannot)."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


@contextmanager
def cpu_threads(count: int | None) -> Iterator[int]:
    """Compute with `count` CPU threads inside (None: as it is), then go back; gives the number in force."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Let the C library keep what is freed for the next tensor, as torch's own CUDA allocator does; once a process.

    Lasting, as glibc cannot tell what was set before. False where the C library has no such switch, which changes
    nothing but the speed. Source: mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; for timing only."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(_cpu_capabilities().get("cpu_name") or platform.processor() or platform.machine())
