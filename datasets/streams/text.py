"""Texts as steps: windows over tokens. A token's time is its number, as if one came each second."""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cliptide.configs.errors import SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.stream import Steps, Track
from cliptide.datasets.streams.tokens import CHARACTERS_PER_TOKEN, NOTHING, UNKNOWN, Tokenizer
from cliptide.datasets.streams.windows import Rows, WindowedStream, WindowedTrack
from cliptide.datasets.suffixes import TEXT_SUFFIXES
from cliptide.datasets.video.timeline import TOLERANCE_S

# Share of its different tokens that training hides in a text, so that no single one is relied on
# and the number of the unknown is learnt as well. All places of a token go together: windows
# overlap, and one would show what the other hides (Gal & Ghahramani, "A Theoretically Grounded
# Application of Dropout in Recurrent Neural Networks", 2016, section 4.2).
HIDDEN_SHARES = {"light": 0.05, "strong": 0.4}

_GROUND = (16, 18, 22)
_INK = (245, 245, 245)
# Of a drawn step: how wide it is and how high its letters are, in heights; in letters, its lines.
_WIDTH, _LETTERS, _LINE = 2, 0.26, 1.23
_SMALLEST = 6  # letters, pixels


class TextStream(WindowedStream):
    """Texts, from a table's row or from a file.

    Args:
        window: Tokens in a step.
        hop: Tokens from one step to the next.
        tokenizer: The JSON that `tokens.train_tokenizer` gave.
        most: Tokens of a sample at most: of a longer one the beginning is read.
        hidden_share: Of a text's different tokens, what `augmented` hides.
    """

    name = "text"
    row_type = np.int64
    blank = NOTHING

    def __init__(
        self, *, window: int, hop: int, tokenizer: str, most: int, hidden_share: float = 0.0
    ) -> None:
        super().__init__(window=window, hop=hop)
        self.row_shape = ()
        self.tokenizer, self.most = Tokenizer(tokenizer), most
        self.hidden_share = hidden_share

    def read(self, record: SampleRecord) -> Rows:
        """Read the tokens of a sample's part.

        Args:
            record: With a text, or with a text file as its source (.txt, UTF-8).

        Returns:
            Rows () int64, one for each token; the number of a token is its time.

        Raises:
            SampleError: The text is empty, or the file cannot be read.
        """
        first = math.ceil(record.start_s - TOLERANCE_S)
        last = first + self.most
        if record.end_s is not None:
            last = min(last, math.ceil(record.end_s - TOLERANCE_S))
        text = read_text(record, most=last * CHARACTERS_PER_TOKEN)
        tokens = self.tokenizer.encode(text, most=last)
        if not len(tokens[first:]):
            raise SampleError(
                f"{record.name} has no token from {first} to {last}: the text has {len(tokens)}. "
                "Correct start_s and end_s, which count tokens."
            )
        times_s = np.arange(first, len(tokens), dtype=np.float64)
        return Rows(times_s, tokens[first:], float(len(times_s)))

    def augmented(self, steps: Steps, seed: int) -> Steps:
        """Hide some tokens of steps (n, window) int64 wherever they stand in the clip."""
        draws = np.random.default_rng(seed).random(int(steps.max()) + 1)
        hidden = (draws < self.hidden_share)[steps]
        return np.where(hidden & (steps != NOTHING), UNKNOWN, steps)

    def drawn(self, steps: Steps, *, height: int) -> NDArray[np.uint8]:
        """Write each step's tokens, in letters so small that all of them fit.

        OpenCV's own letters are the same on every system: Latin, Greek, Cyrillic, Chinese and
        Japanese; Arabic letters stand unjoined, and what is missing is a question mark.
        """
        words = [self.tokenizer.decode(step.tolist()) for step in steps]
        # Control characters and line ends have no letters.
        words = ["".join(c if c.isprintable() else " " for c in text) for text in words]
        font, margin = cv2.FontFace("uni"), height // 16
        tiles = np.empty((len(words), height, max(1, round(height * _WIDTH)), 3), np.uint8)
        tiles[:] = _GROUND
        # Words longer than a line go on in the next.
        across = (margin, max(margin + 1, tiles.shape[2] - margin))
        for tile, text in zip(tiles, words, strict=True):
            size = max(_SMALLEST, round(height * _LETTERS))
            while size > _SMALLEST and not _fits(text, font, size, tile, width=across[1] - margin):
                size -= 1
            lines = _wrapped(text, font, size, width=across[1] - margin)
            above = max(0, height - (lines.count("\n") + 1) * _LINE * size) / 2
            base = (margin, round(above + 0.8 * size))
            cv2.putText(tile, lines, base, _INK, font, size, 0, cv2.PUT_TEXT_WRAP, across)
        return tiles

    def shown(
        self, track: Track, times_s: NDArray[np.float64], *, height: int
    ) -> NDArray[np.uint8]:
        """Write the middle of each window, and nothing twice; see `Stream.shown`.

        The first is written from its beginning and the last to its end, so that windows one hop
        apart read as the whole text.
        """
        assert isinstance(track, WindowedTrack)
        steps = track.around(times_s)
        starts = np.searchsorted(track.rows.times_s, times_s) - (self.window - 1) // 2
        begins = starts + max(0, (self.window - self.hop) // 2)
        ends = begins + self.hop
        begins[0], ends[-1] = starts[0], starts[-1] + self.window
        begins[1:] = np.maximum(begins[1:], ends[:-1])
        places = starts[:, None] + np.arange(self.window)
        written = (begins[:, None] <= places) & (places < ends[:, None])
        return self.drawn(np.where(written, steps, NOTHING), height=height)


def _fits(text: str, font: cv2.FontFace, size: int, tile: NDArray[np.uint8], *, width: int) -> bool:
    lines = _wrapped(text, font, size, width=width).split("\n")
    sizes = [cv2.getTextSize((0, 0), line, (0, 0), font, size) for line in lines]
    return len(lines) * _LINE * size <= len(tile) and all(one[2] <= width for one in sizes)


def _wrapped(text: str, font: cv2.FontFace, size: int, *, width: int) -> str:
    """Break a text into lines between its words, so that as many stand in each as fit."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        (_, _, across, _) = cv2.getTextSize((0, 0), longer, (0, 0), font, size)
        if lines and across <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def read_text(record: SampleRecord, *, most: int) -> str:
    """A sample's text: all of what its record holds, or `most` characters of its file.

    Raises:
        SampleError: It is empty, or the file cannot be read.
    """
    text = _read_file(record.source, most=most) if record.text is None else record.text
    if not text or text.isspace():
        raise SampleError(
            f"{record.name} has no text. Write one there, or take it out of the data."
        )
    return text


def _read_file(path: Path, *, most: int) -> str:
    """Read the beginning of a text file, `most` characters behind leading spaces."""
    if path.suffix.lower() not in TEXT_SUFFIXES:
        raise SampleError(
            f"{path} is no text file. Give a .txt file, or a CSV with a column 'text'."
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            begun = ""
            while not begun and (part := file.read(most)):
                begun = part.lstrip()
            return begun + file.read(most - len(begun))
    except UnicodeDecodeError as error:
        raise SampleError(
            f"{path} is not UTF-8 (it holds the byte 0x{error.object[error.start]:02x}). Save it "
            "as UTF-8."
        ) from error
    except FileNotFoundError:
        raise SampleError(f"{path} is not there. Correct the path.") from None
    except OSError as error:
        raise SampleError(
            f"{path} cannot be read: {error.strerror}. Mend its permissions or the path."
        ) from error
