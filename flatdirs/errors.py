"""What flatdirs raises when somebody else has to act.

Every message is one sentence that says what is wrong, where, and which key to change; the entry points print it
and exit with code 2. A run that diverges is an outcome, not an error, and a bug stays an ordinary exception.

    FlatdirsError
    ├── ConfigError    a key or a value of the command line or of a YAML file
    ├── ChartError     hyperparameters or coordinates that do not fit the chart
    ├── DataError      a data set that is missing, broken or of the wrong shape
    ├── StudyError     a storage that cannot be opened, or a study that is not the one asked for
    ├── ObjectiveError a user's function that cannot be found or returned no number
    ├── FinderError    what the learning-rate finder cannot work with, or a curve without an answer
    └── CurvatureError what the optimizers and instruments of curvature cannot work with
"""


class FlatdirsError(Exception):
    """The root: catch this to catch everything a user can mend."""


class ConfigError(FlatdirsError):
    """A key or a value of the command line or of a YAML file."""


class ChartError(FlatdirsError):
    """Hyperparameters or coordinates that do not fit the chart."""


class DataError(FlatdirsError):
    """A data set that is missing, broken or of the wrong shape."""


class StudyError(FlatdirsError):
    """A storage that cannot be opened, or a study that is not the one asked for."""


class ObjectiveError(FlatdirsError):
    """A user's function that cannot be found or returned no number."""


class FinderError(FlatdirsError):
    """What the learning-rate finder cannot work with, or a curve without an answer."""


class CurvatureError(FlatdirsError):
    """What the optimizers and instruments of curvature cannot work with."""
