"""What is written over a picture: the labels, how sure they are, and where in the video one is."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cliptide.app.inference.prediction import Segment

Picture = NDArray[np.uint8]

# Told apart by people who see colours differently, on dark ground (Okabe & Ito, "Color Universal
# Design", 2008).
COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
    (200, 200, 200),
)
GROUND = (16, 18, 22)
GROUND_SHARE = 0.72  # of the caption's ground, the rest is the picture
WORDS = (245, 245, 245)
EMPTY = (70, 74, 82)
# What fonts of common systems have; the last resort of Pillow knows Latin letters alone.
FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf", "NotoSans-Regular.ttf")


def colour_of(index: int) -> tuple[int, int, int]:
    """The colour (RGB) of a class."""
    return COLOURS[index % len(COLOURS)]


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


class Captioner:
    """Writes onto the pictures of one video.

    Args:
        size: (height, width) of the pictures.
        class_names: Labels in the order of their colours.
        segments: What happens when, for the strip along the lower edge.
        duration_s: Length of the video, seconds.
    """

    def __init__(
        self,
        size: tuple[int, int],
        class_names: Sequence[str],
        *,
        segments: Sequence[Segment] = (),
        duration_s: float = 0.0,
    ) -> None:
        self._height, self._width = size
        self._index = {name: index for index, name in enumerate(class_names)}
        self._line = max(14, min(48, self._height // 14))
        self._strip = min(self._height, max(3, self._line // 5)) if segments else 0
        self._duration_s = duration_s
        self._timeline = self._draw_timeline(segments)
        self._shown: tuple[tuple[str, int], ...] | None = None
        self._caption = self._draw(())

    def write(
        self, picture: Picture, labels: Sequence[tuple[str, float]], *, time_s: float = 0.0
    ) -> None:
        """Write onto a picture.

        Args:
            picture: (height, width, 3) uint8 RGB; changed.
            labels: What is seen now, and the score of each, 0..1; as many as there is room for.
            time_s: Where in the video that is, seconds.
        """
        room = max(1, (self._height // 2) // self._line)
        shown = tuple((name, round(100 * score)) for name, score in labels[:room])
        if shown != self._shown:
            self._shown, self._caption = shown, self._draw(shown)
        # A picture smaller than a line shows of it what there is room for.
        end = self._height - self._strip
        caption = self._caption[:end]
        if len(caption):
            part = picture[end - len(caption) : end]
            # Words and bars stand as they are, their ground lets the picture through.
            ground = (caption == GROUND).all(axis=2, keepdims=True)
            mixed = part * (1 - GROUND_SHARE) + caption * GROUND_SHARE
            part[:] = np.where(ground, mixed, caption).astype(np.uint8)
        if self._strip:
            picture[self._height - self._strip :] = self._timeline
            at = round(min(1.0, time_s / max(self._duration_s, 1e-9)) * (self._width - 2))
            picture[self._height - self._strip :, at : at + 2] = 255

    def _draw(self, labels: Sequence[tuple[str, int]]) -> Picture:
        if not labels:
            return np.empty((0, self._width, 3), np.uint8)
        line, pad = self._line, self._line // 3
        image = Image.new("RGB", (self._width, line * len(labels) + pad), GROUND)
        draw = ImageDraw.Draw(image)
        font = _font(round(line * 0.72))
        bar = self._width // 4
        number_width = round(draw.textlength("100 %", font=font))
        for row, (name, percent) in enumerate(labels):
            top = row * line + pad // 2
            right = self._width - pad - number_width
            room = right - bar - 3 * pad
            draw.text((pad, top), _fitting(draw, name, font, room), fill=WORDS, font=font)
            box = (right - bar - pad, top + line // 3, right - pad, top + line - line // 4)
            draw.rectangle(box, fill=EMPTY)
            filled = box[0] + round((box[2] - box[0]) * percent / 100)
            draw.rectangle((*box[:2], filled, box[3]), fill=colour_of(self._index.get(name, 0)))
            draw.text((right, top), f"{percent} %", fill=WORDS, font=font)
        return np.asarray(image)

    def _draw_timeline(self, segments: Sequence[Segment]) -> Picture:
        strip: Picture = np.full((self._strip, self._width, 3), EMPTY, np.uint8)
        scale = self._width / max(self._duration_s, 1e-9)
        for segment in segments:
            left, right = round(segment.start_s * scale), round(segment.end_s * scale)
            strip[:, left : max(right, left + 1)] = colour_of(self._index.get(segment.label, 0))
        return strip


def _fitting(draw: ImageDraw.ImageDraw, text: str, font: object, room: int) -> str:
    """The text, cut with an ellipsis where it would be wider than the room."""
    if draw.textlength(text, font=font) <= room:  # type: ignore[arg-type]
        return text
    while text and draw.textlength(text + "…", font=font) > room:  # type: ignore[arg-type]
        text = text[:-1]
    return text + "…"
