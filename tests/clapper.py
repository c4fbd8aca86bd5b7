"""A video whose picture and sound mark the same moments."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cliptide.datasets.synthetic_sound import write_sound


def write_clapper(
    path: Path,
    *,
    flash_frames: Sequence[int] = (10, 31, 55),
    num_frames: int = 75,
    fps: int = 25,
    rate: int = 48000,
    sound_codec: str | None = None,
    video_codec: str = "libx264",
    sound_from_s: float = 0.0,
    picture_from_s: float = 0.0,
) -> list[float]:
    """Write a video in which a white frame and a click come at the very same moments.

    Args:
        path: The file: `.mp4`, `.mkv` or `.avi`.
        flash_frames: Which frames are white.
        num_frames: Frames in all.
        fps: Frames a second.
        rate: Samples a second.
        sound_codec: FFmpeg's name; None takes what is usual for the ending.
        video_codec: FFmpeg's name.
        sound_from_s: When the sound track begins, seconds; clicks before are left out.
        picture_from_s: When the first frame is shown, seconds, in whole frames.

    Returns:
        The moments, seconds from the first frame.
    """
    frames = np.full((num_frames, 48, 64, 3), 20, np.uint8)
    frames[list(flash_frames)] = 255
    samples = np.zeros(round((num_frames / fps + picture_from_s) * rate), np.float32)
    click = 0.9 * np.sin(np.arange(rate // 500) * 2 * np.pi / 12)  # 2 ms
    for number in flash_frames:
        at = round((number / fps + picture_from_s) * rate)
        samples[at : at + len(click)] = click
    write_sound(
        path,
        samples[round(sound_from_s * rate) :],
        frames=frames,
        rate=rate,
        fps=fps,
        sound_codec=sound_codec,
        video_codec=video_codec,
        sound_from_s=sound_from_s,
        picture_from_s=picture_from_s,
    )
    return [number / fps for number in flash_frames]
