"""Where the files that come with the package lie: conf/ beside flatdirs/ in a checkout, inside it in a wheel."""

from pathlib import Path


def conf_folder() -> Path:
    """The folder of the YAML files, absolute."""
    here = Path(__file__).resolve().parent
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"
