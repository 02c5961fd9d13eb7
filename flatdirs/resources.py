"""The YAML files that come with flatdirs, and which of their keys are taken verbatim from a command line."""

from pathlib import Path

# Keys whose values belong to the user: everything behind the = counts, whatever characters it has. In the values of
# the first ones ~ is the home folder.
PATHS = ("output", "folder", "file", "data.path", "base", "save", "figure", "curvature.figure", "curvature.save",
         "storage.url", "prior")  # fmt: skip
METRIC = ("task.metric.name", "task.metric.regex", "task.metric.file", "task.metric.column")
VERBATIM = (*PATHS, "study", "task.function", "task.name", "task.unit", "task.command", "command", "for", *METRIC)


def conf_folder() -> Path:
    """The folder of the YAML files, absolute: beside flatdirs/ in a checkout, inside it in a wheel."""
    here = Path(__file__).resolve().parent
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"
