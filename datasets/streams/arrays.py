"""Rows of numbers as a stream: skeletons with a joint map, and sensors without one."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import ConfigError, DataError, SampleError
from cliptide.configs.streams import JointMap
from cliptide.datasets.catalog.wording import counted, some
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.array_files import TIME, ArrayFile, read_array
from cliptide.datasets.streams.stream import Steps
from cliptide.datasets.streams.windows import Rows, WindowedStream
from cliptide.datasets.suffixes import ARRAY_SUFFIXES
from cliptide.datasets.video import open_video
from cliptide.datasets.video.timeline import TOLERANCE_S

# A tenth is what a step towards the camera does: clips of one class differ by more than that, and
# no limb gets the length of another.
SCALE_JITTER = 0.1
# Of each column's spread in the clip: less than sensors scatter by themselves, enough that the
# digits of a number tell no clip.
NOISE = 0.02

_READ_AT_MOST = 20  # files that tell what the columns are
_MOST_APART = 0.05  # of its length, that rows may end before or behind the video beside them
_GOLDEN = (5**0.5 - 1) / 2
_MOST_SHARE = 0.75  # of them that must agree
_QUOTED = 60  # characters of their names that an error shows at most
_Found = TypeVar("_Found", int, str)
_PAPER, _LINE, _GRID = (255, 255, 255), (75, 85, 99), (229, 231, 235)
_LEFT, _RIGHT, _MIDDLE = (37, 99, 235), (234, 88, 12), (75, 85, 99)
_COLUMNS = (
    (37, 99, 235),
    (234, 88, 12),
    (22, 163, 74),
    (147, 51, 234),
    (220, 38, 38),
    (8, 145, 178),
    (161, 98, 7),
    (219, 39, 119),
)
_SHIFT = 4  # cv2 draws to 1/16 of a pixel


def array_path(source: Path) -> Path:
    """The array of a sample: its source, or beside a video or sound the file of the same stem.

    Of several beside it, the first suffix of `ARRAY_SUFFIXES` counts.

    Raises:
        SampleError: There is none.
    """
    if source.suffix.lower() in ARRAY_SUFFIXES:
        return source
    for suffix in ARRAY_SUFFIXES:
        # A dot in a folder's name begins no ending.
        folder = source.is_dir()
        beside = source.with_name(source.name + suffix) if folder else source.with_suffix(suffix)
        if beside.is_file():
            return beside
    raise SampleError(
        f"{source} has no array beside it. Put {source.stem}.npy (or "
        f"{', '.join(ARRAY_SUFFIXES[1:])}) into the same folder."
    )


def columns_of(records: Sequence[SampleRecord]) -> tuple[int, tuple[str, ...]]:
    """F, the numbers in a row, and what they are called; empty where no file says.

    They are those of most of up to 20 files, which lie evenly among all of them.

    Raises:
        DataError: None can be read; with the first one's cause. Or more than a quarter of them
            have other columns, so that it is not clear which are meant.
    """
    widths: list[tuple[int, Path]] = []
    named: list[tuple[tuple[str, ...], Path]] = []
    first: SampleError | None = None
    # Records are sorted by class. Multiples of the golden ratio spread the first of any number of
    # them evenly over all, however many of these cannot be read.
    spread = sorted(enumerate(records), key=lambda pair: pair[0] * _GOLDEN % 1)
    for _, record in spread:
        try:
            path = array_path(record.source)
            file = read_array(path)
        except SampleError as error:
            first = first or error
            continue
        widths.append((file.values.shape[1], path))
        if file.columns:
            named.append((file.columns, path))
        if len(widths) == _READ_AT_MOST:
            break
    if not widths:
        cause = f"The first: {first}" if first else "There are no samples."
        raise DataError(f"No array could be read, so how wide rows are is not known. {cause}")
    width = _usual(widths, "numbers in a row")
    # Columns in another order are brought into this one when they are read.
    orders = [(columns, path) for columns, path in named if len(columns) == width]
    if not orders:
        return width, ()
    names = _usual([(", ".join(sorted(columns)), path) for columns, path in orders], "as columns")
    return width, next(columns for columns, _ in orders if ", ".join(sorted(columns)) == names)


def differing(columns: Sequence[str], usual: Sequence[str]) -> str:
    """Say which columns a file lacks and has beyond the usual ones; "" where they are the same."""
    lacks = [name for name in usual if name not in columns]
    more = [name for name in columns if name not in usual]
    said = [f"lacks the columns {some(lacks)}"] if lacks else []
    said += [f"has the columns {some(more)}, which the others have not"] if more else []
    return " and ".join(said)


def _usual(found: Sequence[tuple[_Found, Path]], what: str) -> _Found:
    """What most files have.

    Raises:
        DataError: They are less than three quarters.
    """
    ranked = Counter(value for value, _ in found).most_common(2)
    usual, count = ranked[0]
    if count < _MOST_SHARE * len(found):
        other, other_count = ranked[1]
        files = dict(reversed(found))
        raise DataError(
            f"Of {counted(len(found), 'array')} that were looked at, {count} have {_short(usual)} "
            f"{what} ({files[usual]}), but {other_count} have {_short(other)} ({files[other]}). "
            "Give all of them the same columns, or leave the others out."
        )
    return usual


def _short(value: int | str) -> str:
    text = str(value)
    return text if len(text) <= _QUOTED else text[:_QUOTED] + "..."


class ArrayStream(WindowedStream):
    """Rows of arrays, and windows over them as steps (window, F) float32, NaN where missing.

    Times are those of the file, where it has a column time_s. Else, of as many rows as the video
    beside it has frames, each is at its frame's time; else row i is at i / row_rate.

    Args:
        window: See `WindowedStream`.
        hop: See `WindowedStream`.
        num_values: F.
        columns: Their names; empty takes them by their places.
        row_rate: Rows a second.
        image_rate: Images a second of the pictures that they lie beside, where these are a folder
            of images; None where there are none.
        joints: Of skeletons.
        flip: Whether `augmented` mirrors half of the skeletons.
        mirrors: Whether it does with a seed, where they lie beside pictures that are mirrored.
        jitters: Whether it also scales skeletons, and adds noise to other rows.

    Raises:
        ConfigError: A row has another number of values than the joint map.
    """

    name = "arrays"
    row_type = np.float32
    blank = float("nan")

    def __init__(
        self,
        *,
        window: int,
        hop: int,
        num_values: int,
        columns: tuple[str, ...] = (),
        row_rate: float,
        image_rate: float | None = None,
        joints: JointMap | None,
        flip: bool,
        mirrors: Callable[[int], bool] | None = None,
        jitters: bool = True,
    ) -> None:
        super().__init__(window=window, hop=hop)
        if joints is not None and len(joints.names) * joints.axes != num_values:
            raise ConfigError(
                f"The joint map has {len(joints.names)} joints of {joints.axes} axes, "
                f"{len(joints.names) * joints.axes} numbers, but rows have {num_values}. Correct "
                "its joints or axes, or leave steps.joints out."
            )
        self.num_values, self.columns = num_values, columns
        self.image_rate, self.row_rate, self.joints, self.flip = image_rate, row_rate, joints, flip
        self.row_shape = (num_values,)
        self.mirrors, self.jitters = mirrors, jitters

    def read(self, record: SampleRecord) -> Rows:
        """See `WindowedStream.read`."""
        path = array_path(record.source)
        file = read_array(path)
        values, count = self._in_order(file, path), len(file.values)
        times_s, gap_s = file.times_s, 1 / self.row_rate
        if times_s is None:
            times_s = self._times_beside(record.source, path, count)
        if count > 1:
            gap_s = float(times_s[-1] - times_s[0]) / (count - 1)
        inside = times_s >= record.start_s - TOLERANCE_S
        if record.start_s <= 0:
            inside[:] = True  # a clock may count from before the source's beginning
        if record.end_s is not None:
            inside &= times_s < record.end_s - TOLERANCE_S
        if not inside.any():
            end = "its end" if record.end_s is None else f"{record.end_s:g} s"
            raise SampleError(
                f"{path} has no row from {record.start_s:g} s to {end}; its rows are from "
                f"{times_s[0]:.2f} s to {times_s[-1]:.2f} s. Correct start_s and end_s."
            )
        times_s = times_s[inside]
        return Rows(times_s, values[inside], float(times_s[-1] - times_s[0]) + gap_s)

    def _times_beside(self, source: Path, path: Path, count: int) -> NDArray[np.float64]:
        """Times of so many rows whose file has none."""
        times_s = np.arange(count) / self.row_rate
        if self.image_rate is None:
            return times_s
        try:
            with open_video(source, image_rate=self.image_rate) as video:
                if video.num_frames == count:
                    return video.pts_s
                length_s = video.duration_s
        except SampleError:  # whoever reads the pictures says so
            return times_s
        rows_s = count / self.row_rate
        if not self.note and abs(rows_s - length_s) > _MOST_APART * length_s:
            self.note = (
                f"{path} has {count} rows without {TIME}, {rows_s:.2f} s at steps.row_rate "
                f"{self.row_rate:g}, but {source.name} lasts {length_s:.2f} s. Set steps.row_rate "
                f"to the rows recorded in a second, or write a column {TIME}."
            )
        return times_s

    def _in_order(self, file: ArrayFile, path: Path) -> NDArray[np.float32]:
        """The file's columns in the order of the others'.

        Raises:
            SampleError: They are not the same.
        """
        if self.columns and file.columns:
            if difference := differing(file.columns, self.columns):
                raise SampleError(
                    f"{path} {difference}. Give all files the same columns, or leave it out."
                )
            return file.values[:, [file.columns.index(name) for name in self.columns]]
        num_values = file.values.shape[1]
        if num_values != self.num_values:
            raise SampleError(
                f"{path} has {num_values} numbers in a row, but the others have "
                f"{self.num_values}. Give all files the same columns, or leave it out."
            )
        return file.values

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Mirror half of the skeletons and scale each a little; add slight noise to other rows."""
        rng = np.random.default_rng(seed)
        if self.joints is None:
            if not self.jitters:
                return steps
            noise = rng.normal(0, NOISE, steps.shape).astype(np.float32)
            noisy: Steps = steps + noise * _spread(steps)
            return noisy
        if self.mirrors is not None:
            is_mirrored = self.mirrors(seed)
        else:
            is_mirrored = self.flip and bool(rng.random() < 0.5)
        if is_mirrored:
            steps = mirrored(steps, self.joints)
        if not self.jitters:
            return steps
        return scaled(steps, self.joints, 1 + rng.uniform(-SCALE_JITTER, SCALE_JITTER))

    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """See `Stream.drawn`: the skeleton in the middle of each window, or a plot of 8 columns."""
        if self.joints is None:
            return _plots(steps, height)
        return _skeletons(steps, self.joints, height)


def mirrored(steps: Steps, joints: JointMap) -> Steps:
    """Mirror the skeletons of a clip about its mean x, and let left and right change places.

    Args:
        steps: (n, window, F) float32.
        joints: What the F columns are.
    """
    points = steps.reshape(*steps.shape[:2], -1, joints.axes).copy()
    points[..., 0] = 2 * _mean(points[..., 0].reshape(-1, 1)) - points[..., 0]
    order = np.arange(len(joints.names))
    for left, right in joints.pairs:
        order[[left, right]] = right, left
    return points[:, :, order].reshape(steps.shape)


def scaled(steps: Steps, joints: JointMap, factor: float) -> Steps:
    """Scale the skeletons (n, window, F) of a clip about its mean x and y.

    A third axis stays as it is: it may be a confidence.
    """
    points = steps.reshape(*steps.shape[:2], -1, joints.axes).copy()
    middle = _mean(points[..., :2].reshape(-1, 2))
    points[..., :2] = middle + (points[..., :2] - middle) * np.float32(factor)
    return points.reshape(steps.shape)


def _mean(rows: Steps) -> Steps:
    """(F,) means of rows (n, F), without what is missing; 0 where all is."""
    known = ~np.isnan(rows)
    total = np.where(known, rows, 0).sum(axis=0, dtype=np.float64)
    return np.asarray(total / np.maximum(known.sum(axis=0), 1), np.float32)


def _spread(steps: Steps) -> Steps:
    """(F,) standard deviations over all rows of steps (n, window, F), without what is missing."""
    rows = steps.reshape(-1, steps.shape[-1])
    return np.sqrt(_mean((rows - _mean(rows)) ** 2))


def _skeletons(steps: Steps, joints: JointMap, height: int) -> NDArray[np.uint8]:
    middle = steps[:, (steps.shape[1] - 1) // 2]
    points = middle.reshape(len(steps), -1, joints.axes)[..., :2].astype(np.float64)
    known = ~np.isnan(points.sum(axis=2))
    low, high = _range(points[known])
    # One scale for both axes, so that limbs keep their shape.
    across = max(float((high - low).max()), 1e-9)
    points = (points - (low + high) / 2) / across * 0.84 + 0.5
    sides = dict.fromkeys((left for left, _ in joints.pairs), _LEFT)
    sides |= dict.fromkeys((right for _, right in joints.pairs), _RIGHT)
    thick, radius = max(1, round(height / 90)), max(1.0, height / 64)
    images = np.full((len(steps), height, height, 3), _PAPER, np.uint8)
    for image, places, seen in zip(images, points, known, strict=True):
        for parent, child in joints.bones:
            if seen[parent] and seen[child]:
                _line(image, places[parent], places[child], sides.get(child, _LINE), thick)
        for joint in np.flatnonzero(seen):
            _dot(image, places[joint], sides.get(int(joint), _MIDDLE), radius)
    return images


def _plots(steps: Steps, height: int) -> NDArray[np.uint8]:
    shown = steps[..., : len(_COLUMNS)].astype(np.float64)
    window = steps.shape[1]
    low, high = _range(shown.reshape(-1, shown.shape[-1]))
    flat = high - low < 1e-9 * np.maximum(np.abs(high), 1e-30)
    # A column that never changes is drawn in the middle.
    up = np.where(flat, 0.5, (shown - low) / np.where(flat, 1, high - low))
    up[np.isnan(shown)] = np.nan
    across = (np.arange(window) + 0.5) / window
    thick = max(1, round(height / 90))
    images = np.full((len(steps), height, height, 3), _PAPER, np.uint8)
    for image, lines in zip(images, up, strict=True):
        for level in (0.08, 0.5, 0.92):
            _line(image, np.array([0.0, level]), np.array([1.0, level]), _GRID, 1)
        for column, colour in zip(lines.T, _COLUMNS, strict=False):
            points = np.stack([across, 0.92 - 0.84 * column], axis=1)
            for start, end in pairwise(points):
                if not np.isnan([start[1], end[1]]).any():
                    _line(image, start, end, colour, thick)
            # A row between two that are missing has no line.
            for point in points[~np.isnan(column)]:
                _dot(image, point, colour, thick)
    return images


def _range(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and largest of each column of rows (n, F); 0 and 0 where all is missing."""
    known = ~np.isnan(rows)
    low = np.where(known, rows, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, rows, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(low > high, 0, low), np.where(low > high, 0, high)


def _pixel(image: NDArray[np.uint8], place: NDArray[np.float64]) -> tuple[int, int]:
    """A place (x, y) in shares of the image as cv2 takes it."""
    x, y = place * (len(image) - 1) * (1 << _SHIFT)
    return round(x), round(y)


def _line(
    image: NDArray[np.uint8],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    colour: tuple[int, int, int],
    thick: int,
) -> None:
    ends = _pixel(image, start), _pixel(image, end)
    cv2.line(image, *ends, colour, thick, cv2.LINE_AA, _SHIFT)


def _dot(
    image: NDArray[np.uint8],
    place: NDArray[np.float64],
    colour: tuple[int, int, int],
    radius: float,
) -> None:
    size = round(radius * (1 << _SHIFT))
    cv2.circle(image, _pixel(image, place), size, colour, -1, cv2.LINE_AA, _SHIFT)
