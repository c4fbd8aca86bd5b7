"""Listening to FFmpeg, which says in its log what it conceals."""

import re
from typing import Any, Self

import av.logging

# A broken stream complains without end.
_MOST_KEPT = 20


_ENDS_EARLY = re.compile(r"ended prematurely|partial file")


class Complaints:
    """FFmpeg's error messages within a `with` block.

    Attributes:
        said: The first of them.
        tell_of_early_end: Whether any says that the file ends too soon.
    """

    def __init__(self) -> None:
        self.said: list[str] = []
        self.tell_of_early_end = False

    def __enter__(self) -> Self:
        self._level = av.logging.get_level()
        self._skips = av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        # A file is opened more than once, and the second complaint is the one that is placed.
        av.logging.set_skip_repeated(False)
        self._capture = av.logging.Capture(local=False)
        self._logs: list[Any] = self._capture.__enter__()
        return self

    def __exit__(self, *what: Any) -> None:
        self._capture.__exit__(*what)
        av.logging.set_level(self._level)
        av.logging.set_skip_repeated(self._skips)

    def any_new(self) -> bool:
        """Whether something was said since the last call."""
        new = [str(message).strip() for _, _, message in self._logs]
        self._logs.clear()
        self.said += new[: max(0, _MOST_KEPT - len(self.said))]
        self.tell_of_early_end |= any(map(_ENDS_EARLY.search, new))
        return bool(new)
