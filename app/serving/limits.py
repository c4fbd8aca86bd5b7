"""What a server takes and what it refuses."""

from dataclasses import dataclass
from typing import Any

from cliptide.configs.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """What one request may cost.

    Attributes:
        upload_mb: Size of an upload, MiB.
        duration_s: Length of a video or of a sound, seconds.
        pixels: Width times height of a video or a JPEG.
        time_s: Seconds for reading and scoring one video, and as much for sending it.
        memory_mb: Memory of a process that decodes, MiB; enforced by Linux alone.
        silence_s: Seconds that a client may send nothing.
        queue: Requests that are in work or wait; one more is refused.
        streams: WebSocket connections at a time.
    """

    upload_mb: float = 200.0
    duration_s: float = 3600.0
    pixels: int = 8_294_400
    time_s: float = 120.0
    memory_mb: int = 2048
    silence_s: float = 30.0
    queue: int = 64
    streams: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise ConfigError(f"The limit {name} is {value}. Give a number above 0.")

    @property
    def upload_bytes(self) -> int:
        """Bytes of an upload."""
        return int(self.upload_mb * 2**20)

    def to_json(self) -> dict[str, Any]:
        """What clients are told."""
        return {
            "upload_bytes": self.upload_bytes,
            "duration_s": self.duration_s,
            "pixels": self.pixels,
            "time_s": self.time_s,
        }
