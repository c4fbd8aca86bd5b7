"""Reading a stream's frames in display order, forward only."""

from pathlib import Path
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from cliptide.datasets.video.opening import open_stream


class InOrderReader:
    """An iterator over a file's frames from the first on, as its decoder gives them."""

    def __init__(self, path: Path, *, threads: int) -> None:
        self._container, stream = open_stream(path, threads=threads)
        self._frames = self._container.decode(stream)
        self._kept: VideoFrame | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> VideoFrame:
        if self._kept is not None:
            frame, self._kept = self._kept, None
            return frame
        return next(self._frames)

    def peek(self) -> VideoFrame | None:
        """Return the next frame without passing it; None at the end."""
        self._kept = next(self, None)
        return self._kept

    def close(self) -> None:
        """Close the file."""
        self._kept = None
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
