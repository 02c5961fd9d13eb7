"""The device, precision and number of threads of a run.

"auto" takes the first GPU, else the CPU, and bfloat16 where the hardware multiplies it natively (CUDA capability 8 and
above, CPUs with avx512_bf16 or amx). Older GPUs get float16 with a gradient scaler, everything else float32.

On the CPU the process keeps the memory that torch frees (`keep_freed_memory`): by default glibc returns every large
tensor to the system, and each step touches all its pages anew.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from flatdirs.setting_checks import require_choice, wrong

PRECISIONS = ("auto", "bf16", "fp16", "fp32")
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h; -1 as a value means "never", 0 "none"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve_device(name: str) -> torch.device:
    """The device called `name` (auto, cpu, cuda, cuda:1, mps). Raises ConfigError if this machine does not have it."""
    if name == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise wrong("device", name, "is not a device", remedy="set device to auto, cpu or cuda") from error
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda" and torch.cuda.is_available():
        index = torch.cuda.current_device() if device.index is None else device.index
        if index < torch.cuda.device_count():
            return torch.device("cuda", index)
    if device.type == "mps" and torch.backends.mps.is_available():
        return device
    raise wrong("device", name, "is not available here", remedy="set device=auto or device=cpu")


def resolve_precision(name: str, device: torch.device) -> str:
    """bf16, fp16 or fp32 for `name` (auto or one of these) on `device`. Raises ConfigError for another name."""
    require_choice("precision", name, PRECISIONS)
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    if device.type == "cpu" and _fast_bfloat16_on_cpu():
        return "bf16"
    return "fp32"


def _fast_bfloat16_on_cpu() -> bool:
    """Whether this CPU has bfloat16 dot products; False if torch does not report it."""
    return any(_cpu_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _cpu_capabilities() -> dict[str, object]:
    """What torch reports about the CPU; nothing before torch 2.5."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


@contextmanager
def cpu_threads(count: int | None) -> Iterator[int]:
    """Use `count` CPU threads inside (None: no change) and restore the number at the end; yields the number."""
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
    """Let the C library keep freed memory for the next tensor, as torch's CUDA allocator does; once per process.

    It cannot be undone. False if the C library has no such switch, which affects the speed only. See mallopt(3).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))


def synchronize(device: torch.device) -> None:
    """Wait for the device; for timing only."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(_cpu_capabilities().get("cpu_name") or platform.processor() or platform.machine())
