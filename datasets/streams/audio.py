"""Sound as a stream: log-mel columns, and windows over them as steps."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.streams import COLUMN_S
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.log_mel import FLOOR, LOG_FLOOR, log_mel
from cliptide.datasets.streams.sound import read_sound
from cliptide.datasets.streams.stream import Steps, Track
from cliptide.datasets.streams.windows import Rows, WindowedStream

# Augmentation: as loud as half to twice, bands of an eighth, and a fifth of the time (Park et al.
# 2019, section 2, have p = 1.0 and 0.2 in their mild and strong policies).
_LOUDEST = 2.0
_MASKED_BANDS = 8
_MASKED_TIME = 5

# Of a step that is shown, width by height at least: a column or two are nothing to look at.
_NARROWEST = 0.6


class AudioStream(WindowedStream):
    """The sound track of a video or sound file.

    A row is a log-mel column, one every 10 ms; see `log_mel` for what it holds and `sound` for
    its clock.

    Args:
        window: Columns in a step.
        hop: Columns from one step to the next.
        sample_rate: Samples a second that sound is resampled to.
        mels: Bands.
        masks_time: Whether `augmented` masks a stretch of time too.

    Attributes:
        most_s: What is longer is refused, seconds; None refuses nothing.
    """

    name = "audio"
    blank = LOG_FLOOR
    most_s: float | None = None

    def __init__(
        self, *, window: int, hop: int, sample_rate: int, mels: int, masks_time: bool = True
    ) -> None:
        super().__init__(window=window, hop=hop)
        self.masks_time = masks_time
        self.sample_rate, self.mels = sample_rate, mels
        self.row_shape = (mels,)
        self.row_type = np.float32

    def read(self, record: SampleRecord) -> Rows:
        """Read the columns of a sample's part; what is outside the part is heard in none.

        Raises:
            SampleError: It cannot be read, or has none.
            TooLongError: It is longer than `most_s`.
        """
        samples, first_s = read_sound(
            record.source,
            sample_rate=self.sample_rate,
            start_s=record.start_s,
            end_s=record.end_s,
            most_s=self.most_s,
        )
        rows = log_mel(samples, sample_rate=self.sample_rate, mels=self.mels)
        times_s = first_s + np.arange(len(rows), dtype=np.float64) * COLUMN_S
        return Rows(times_s, rows, len(samples) / self.sample_rate)

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Make steps (n, window, mels) louder or softer; mask bands and, where asked, some time.

        SpecAugment (Park et al. 2019, section 2) without its warping of time: one or two masks of
        neighbouring bands, the same ones in all steps, and up to a fifth of the steps, whole and
        in a row. Windows overlap, so that the edges of that stretch are still seen in the steps
        beside it. What is masked is the clip's mean.
        """
        rng = np.random.default_rng(seed)
        # Of the power, without what keeps the logarithm finite: silence stays silence.
        gain = _LOUDEST ** rng.uniform(-2, 2)
        power = np.maximum(np.exp(steps) - FLOOR, 0)
        changed: Steps = np.log(gain * power + FLOOR).astype(np.float32)
        mean = changed.mean()
        for _ in range(rng.integers(1, 3)):
            width = int(rng.integers(1, max(1, self.mels // _MASKED_BANDS) + 1))
            lowest = int(rng.integers(0, self.mels - width + 1))
            changed[..., lowest : lowest + width] = mean
        if not self.masks_time:
            return changed
        length = int(rng.integers(0, len(steps) // _MASKED_TIME + 1))
        first = int(rng.integers(0, len(steps) - length + 1))
        changed[first : first + length] = mean
        return changed

    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """Draw spectrograms: time to the right, low bands at the bottom, louder is brighter.

        Black and white are the softest and loudest place of all the steps together.
        """
        return self._tiles(steps, height, max(1, round(height * self.window / self.mels)))

    def middle(self, times_s: NDArray[np.float64]) -> slice:
        """The columns of each window that `shown` draws: neighbours show nothing twice.

        Args:
            times_s: (n,) the moments shown, seconds, rising.
        """
        columns = self.window
        if len(times_s) > 1:
            apart_s = float(np.median(np.diff(times_s)))
            columns = int(np.clip(round(apart_s / COLUMN_S), 1, self.window))
        begin = (self.window - 1) // 2 - (columns - 1) // 2
        return slice(begin, begin + columns)

    def shown(
        self, track: Track, times_s: NDArray[np.float64], *, height: int
    ) -> NDArray[np.uint8]:
        """Draw the middle of each window, side by side one spectrogram; see `Stream.shown`."""
        steps = track.around(times_s)[:, self.middle(times_s)]
        wide = max(steps.shape[1] / self.mels, _NARROWEST)
        return self._tiles(steps, height, max(1, round(height * wide)))

    def _tiles(self, steps: Steps, height: int, width: int) -> NDArray[np.uint8]:
        softest, loudest = float(steps.min()), float(steps.max())
        grey = (steps - softest) * (255 / max(loudest - softest, 1e-6))
        pictures = np.rint(grey).astype(np.uint8).transpose(0, 2, 1)[:, ::-1]
        tiles = np.empty((len(steps), height, width, 3), np.uint8)
        for tile, picture in zip(tiles, pictures, strict=True):
            sized = cv2.resize(np.ascontiguousarray(picture), (width, height))
            coloured = cv2.applyColorMap(sized, cv2.COLORMAP_MAGMA)
            tile[:] = coloured[..., ::-1]  # OpenCV's colours are BGR
        return tiles
