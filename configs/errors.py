"""The exception tree: one base a caller can catch, and a branch for each kind of cause.

Every message names the value and the mend. `InputError` and its children mean that what the
user gave is wrong (exit code 2); everything else means that the run failed (exit code 1).
"""


class CliptideError(Exception):
    """Base of all errors cliptide raises on purpose; ends a command with exit code 1."""

    exit_code = 1


class InputError(CliptideError):
    """What the user gave is wrong; ends a command with exit code 2."""

    exit_code = 2


class ConfigError(InputError):
    """A config key or value is wrong."""


class DataError(InputError):
    """A data set cannot be used as it lies on disk."""


class SplitError(DataError):
    """A split, fold or grouping cannot be made or is not there."""


class LeakError(SplitError):
    """A data set's own lists put one clip into two splits."""


class ModelFileError(InputError):
    """A model file is no model, is truncated, or is of a newer format."""


class DeviceError(InputError):
    """A device was asked for that this machine does not have."""


class SampleError(CliptideError):
    """One sample cannot be read; the message names the file, the cause and the mend."""


class VideoError(SampleError):
    """One video cannot be read; the message names the file and the cause."""


class TooLongError(CliptideError):
    """A sample is longer than it may be, which is no damage: it is not read at all.

    Args:
        path: The file.
        length_s: Its length as far as that is known, seconds; it may be more.
        most_s: How long it may be, seconds.
    """

    def __init__(self, path: object, length_s: float, most_s: float) -> None:
        super().__init__(f"{path}: lasts {length_s:.1f} s or more. Cut it to {most_s:g} s.")
        self.length_s = length_s
