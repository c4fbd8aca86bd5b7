"""How many requests are in work; one more than the bound is refused before it is read."""

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from cliptide.app.serving.errors import ApiError, stopping

_LAST = 64  # requests that the rate is measured over
_STALE_S = 60.0
_LONGEST_WAIT_S = 120


class Admission:
    """A bounded queue's door.

    Args:
        most: Requests in work or waiting.

    Attributes:
        num_inside: Requests in work or waiting now.
    """

    def __init__(self, most: int) -> None:
        self.most, self.num_inside = most, 0
        self.is_open = True
        self._done_s: deque[float] = deque(maxlen=_LAST)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be one of those in work.

        Raises:
            ApiError: 429 where there are too many, 503 where the server is stopping.
        """
        if not self.is_open:
            raise stopping()
        if self.num_inside >= self.most:
            wait_s = self.retry_after_s()
            raise ApiError(
                429,
                "too_many_requests",
                f"{self.num_inside} requests are in work, as many as this server takes. Try again "
                f"in {wait_s} s.",
                headers={"Retry-After": str(wait_s)},
            )
        self.num_inside += 1
        try:
            yield
            self._done_s.append(time.monotonic())
        finally:
            self.num_inside -= 1

    def retry_after_s(self) -> int:
        """Seconds until half of what is in work is done; later, and workers might be idle."""
        recent = [at for at in self._done_s if at > time.monotonic() - _STALE_S]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 1
        per_s = (len(recent) - 1) / (recent[-1] - recent[0])
        return min(_LONGEST_WAIT_S, max(1, math.ceil(self.num_inside / per_s / 2)))
