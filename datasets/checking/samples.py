"""Reading one sample that is no video file to its end, to say whether training can use it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from cliptide.configs.errors import SampleError
from cliptide.configs.streams import SampleKind, StepsConfig
from cliptide.datasets.catalog.texts import text_digest
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.array_files import read_array
from cliptide.datasets.streams.sound import read_sound
from cliptide.datasets.streams.text import read_text
from cliptide.datasets.video.examine import Examination
from cliptide.datasets.video.image_folder import ImageFolder
from cliptide.datasets.video.likeness import PicturesSeen

# More characters than any text that is read as a sequence has.
_MOST_CHARACTERS = 2**27


def examine_sample(path: Path, *, kind: SampleKind, steps: StepsConfig) -> Examination:
    """Read a file, or a folder of images, to its end.

    Args:
        path: Anything: what is no such sample is reported, not raised.
        kind: What it should be; not a video, for which there is `examine`.
        steps: Rates of what brings no times.

    Returns:
        What was found; `num_frames` is that of what it consists of: images, samples of sound, rows
        or characters.
    """
    try:
        found = _READERS[kind](path, steps)
    except SampleError as error:
        return Examination(status="unreadable", problem=in_short(error, path))
    return found


def examine_texts(records: Iterable[SampleRecord]) -> list[Examination]:
    """Look at texts that stand in a table."""
    found = []
    for record in records:
        try:
            found.append(_of_text(read_text(record, most=_MOST_CHARACTERS)))
        except SampleError:
            found.append(Examination(status="unreadable", problem="there is no text"))
    return found


def in_short(error: SampleError, path: Path) -> str:
    """What a message says without the file's name and the mend."""
    text = str(error).removeprefix(str(path)).lstrip(": /\\,")
    return text.partition(". ")[0].rstrip(".")


def _images(path: Path, steps: StepsConfig) -> Examination:
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    with ImageFolder(path, image_rate=steps.image_rate) as folder:
        seen = PicturesSeen(folder.num_frames)
        for frame in folder.pictures():
            seen.add(frame)
        frames_hash, looks = seen.result()
        return Examination(
            num_frames=folder.num_frames,
            duration_s=folder.duration_s,
            last_frame_s=float(folder.pts_s[-1]),
            fps=folder.fps,
            width=folder.width,
            height=folder.height,
            rotation=folder.rotation,
            num_bytes=sum(file.stat().st_size for file in files if file.is_file()),
            frames_hash=frames_hash,
            looks=looks,
        )


def _sound(path: Path, steps: StepsConfig) -> Examination:
    rate = steps.sample_rate
    samples, first_s = read_sound(path, sample_rate=rate)
    return Examination(
        num_frames=len(samples),
        duration_s=len(samples) / rate,
        last_frame_s=first_s + (len(samples) - 1) / rate,
        num_bytes=path.stat().st_size,
        # Two that are silent say nothing of each other.
        frames_hash=_digest(samples.tobytes()) if samples.any() else "",
    )


def _rows(path: Path, steps: StepsConfig) -> Examination:
    file = read_array(path)
    count = len(file.values)
    times_s = np.arange(count) / steps.row_rate if file.times_s is None else file.times_s
    step_s = float(times_s[-1] - times_s[0]) / (count - 1) if count > 1 else 0.0
    times = b"" if file.times_s is None else file.times_s.tobytes()
    shape = repr(file.values.shape).encode()
    return Examination(
        num_frames=count,
        duration_s=float(times_s[-1] - times_s[0]) + step_s,
        last_frame_s=float(times_s[-1]),
        num_bytes=path.stat().st_size,
        frames_hash=_digest(shape + file.values.tobytes() + times),
        num_values=file.values.shape[1],
        columns=file.columns,
    )


def _text_file(path: Path, steps: StepsConfig) -> Examination:
    del steps
    record = SampleRecord(path, str(path), label="", group="")
    return _of_text(read_text(record, most=_MOST_CHARACTERS))


def _of_text(text: str) -> Examination:
    # Without a length in seconds: start_s and end_s count tokens, which training learns.
    return Examination(
        num_frames=len(text),
        last_frame_s=float("inf"),
        num_bytes=len(text.encode("utf-8", errors="surrogatepass")),
        frames_hash=text_digest(text),
    )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


_READERS: Mapping[SampleKind, Callable[[Path, StepsConfig], Examination]] = {
    "frames": _images,
    "images": _images,
    "audio": _sound,
    "arrays": _rows,
    "text": _text_file,
}
