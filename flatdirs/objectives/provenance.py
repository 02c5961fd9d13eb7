"""The versions, machine and git revision that a result was made with."""

from __future__ import annotations

import platform
import socket
import subprocess
from functools import lru_cache
from importlib import metadata

PACKAGES = ("flatdirs", "torch", "torchvision", "numpy", "optuna", "scikit-learn")


@lru_cache(maxsize=1)
def provenance() -> dict[str, str | None]:
    """Host, Python, package versions and git revision (None outside a repository), looked up once per process."""
    versions = {name: _version(name) for name in PACKAGES}
    return {"host": socket.gethostname(), "python": platform.python_version(), **versions, "git": git_revision()}


def git_revision() -> str | None:
    """The commit of the working directory, with + if files were changed."""
    try:
        revision = _git("rev-parse", "HEAD")
        return revision + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
