"""From a decoded frame to an upright RGB array of the asked size.

Colour: the frame's own matrix (BT.601, BT.709, BT.2020 ...) and range (limited or full) are
used. Where the matrix is not tagged, FFmpeg's default holds: BT.601 at every size; where the
range is not tagged, limited for YUV. Depths of 10 and 12 bit are scaled to 8. HDR transfer
curves are not tone-mapped. Alpha is dropped: the RGB that stands behind it is returned. Pixels
are taken as square: the sample aspect ratio does not stretch the picture.
"""

from fractions import Fraction
from typing import Any, NamedTuple, Self

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class Crop(NamedTuple):
    """A part of the upright picture, in pixels of the video.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
    """

    top: int
    left: int
    height: int
    width: int


class Orientation(NamedTuple):
    """What makes a stored picture upright: first transpose, then flip.

    The display matrix [[a, b, .], [c, d, .], ...] maps a stored point (x, y) to
    (a x + c y, b x + d y). It is taken as the nearest of the eight ways to lay a picture down.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Self:
        """Read a frame's display matrix; the identity where it has none."""
        side_data: Any = frame.side_data  # a mapping by Type; PyAV's stub says otherwise
        matrix = side_data.get(Type.DISPLAYMATRIX)
        if matrix is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(transpose=False, flip_x=a < 0, flip_y=d < 0)
        return cls(transpose=True, flip_x=c < 0, flip_y=b < 0)

    @property
    def rotation(self) -> int:
        """Degrees clockwise, 0, 90, 180 or 270; for a mirrored picture what is left of it."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_x and self.flip_y else 0

    def stored(self, crop: Crop, *, height: int, width: int) -> Crop:
        """Where a crop of the upright picture (height, width) lies in the stored one."""
        top, left, crop_height, crop_width = crop
        if self.flip_y:
            top = height - top - crop_height
        if self.flip_x:
            left = width - left - crop_width
        if self.transpose:
            return Crop(left, top, crop_width, crop_height)
        return Crop(top, left, crop_height, crop_width)

    def apply(self, picture: Picture) -> Picture:
        """Return an upright view of an (H, W) plane or an (H, W, 3) picture."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]


class PictureMaker:
    """Makes RGB pictures of one video; keeps FFmpeg's converter between frames.

    Attributes:
        orientation: What makes the video's pictures upright.
        height: Pixels down, upright.
        width: Pixels across, upright.

    Args:
        frame: A frame of the video.
    """

    def __init__(self, frame: VideoFrame) -> None:
        self.orientation = Orientation.of(frame)
        self.height, self.width = frame.height, frame.width
        if self.orientation.transpose:
            self.height, self.width = self.width, self.height
        self._stored_size = (frame.height, frame.width)
        self._reformatter = VideoReformatter()
        self._cropper: _Cropper | None = None

    def write(self, frame: VideoFrame, picture: Picture, *, crop: Crop | None = None) -> None:
        """Convert a frame into an (H, W, 3) uint8 RGB picture, upright, in one pass.

        At its own size the pixels are the ones `frame.to_ndarray(format="rgb24")` gives. At
        another, FFmpeg averages over area where an axis shrinks and interpolates where it grows.

        Args:
            frame: A decoded frame.
            picture: Written to.
            crop: The part of the upright picture to convert; None for all of it. Where it is
                resized and chroma is stored at half the resolution, it may begin a pixel earlier.
                A frame of another size than the first is taken whole to that size before.
        """
        height, width = picture.shape[:2]
        if self.orientation.transpose:
            height, width = width, height
        top = left = 0
        if crop is not None:
            own_size = (crop.height, crop.width) == picture.shape[:2]
            frame, top, left = self._cropped(frame, crop, whole_chroma=own_size)
        if (height, width) == (frame.height, frame.width) or (crop is not None and own_size):
            # BILINEAR, which PyAV's own conversion uses: chroma is upsampled by it.
            (rgb,) = self._planes(
                frame, frame.height, frame.width, format="rgb24", interpolation="BILINEAR"
            )
            rgb = rgb.reshape(frame.height, frame.width, 3)
            picture[:] = self.orientation.apply(rgb[top : top + height, left : left + width])
            return
        # Planes, because FFmpeg scales into them two to three times as fast as into packed RGB.
        green, blue, red = self._planes(frame, height, width, format="gbrp", interpolation="AREA")
        for channel, plane in enumerate((red, green, blue)):
            picture[:, :, channel] = self.orientation.apply(plane)

    def _cropped(
        self, frame: VideoFrame, crop: Crop, *, whole_chroma: bool
    ) -> tuple[VideoFrame, int, int]:
        """Cut a part out; gives also where in it the crop begins, for its corner is rounded.

        With `whole_chroma` its end is rounded too, so that each pixel keeps its colour.
        """
        height, width = self._stored_size
        if (frame.height, frame.width) != self._stored_size:
            frame = self._reformatter.reformat(
                frame, width=width, height=height, interpolation="AREA", threads=1
            )
        part = self.orientation.stored(crop, height=self.height, width=self.width)
        # A corner between two chroma samples would shift the colours, and breaks 10 bit.
        step_y = 64 // frame.format.chroma_height(64)
        step_x = 64 // frame.format.chroma_width(64)
        top, left = part.top - part.top % step_y, part.left - part.left % step_x
        bottom, right = part.top + part.height, part.left + part.width
        if whole_chroma:
            bottom = min(height, -(-bottom // step_y) * step_y)
            right = min(width, -(-right // step_x) * step_x)
        grown = Crop(top, left, bottom - top, right - left)
        if self._cropper is None or not self._cropper.fits(frame, grown):
            self._cropper = _Cropper(frame, grown)
        return self._cropper.crop(frame), part.top - top, part.left - left

    def _planes(
        self, frame: VideoFrame, height: int, width: int, *, format: str, interpolation: str
    ) -> list[Picture]:
        """Convert a frame in one pass; gives (height, row bytes) of each plane, unpadded."""
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=format,
            interpolation=interpolation,
            threads=1,  # loader workers would multiply the converter's own
        )
        planes: list[Any] = list(converted.planes)  # buffers, which PyAV's stub does not say
        return [
            np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[
                :, : width * (3 if len(planes) == 1 else 1)
            ]
            for plane in planes
        ]


class _Cropper:
    """Cuts a part out of frames without copying: FFmpeg's filter moves the planes' beginnings."""

    def __init__(self, frame: VideoFrame, crop: Crop) -> None:
        self._made_for = (frame.format.name, frame.height, frame.width, crop)
        self._graph = Graph()
        self._graph.threads = 1
        source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 1000),
        )
        # Without exact, an odd height or width would be rounded where chroma is halved.
        top, left, height, width = crop
        cut = self._graph.add("crop", f"w={width}:h={height}:x={left}:y={top}:exact=1")
        sink = self._graph.add("buffersink")
        source.link_to(cut)
        cut.link_to(sink)
        self._graph.configure()

    def fits(self, frame: VideoFrame, crop: Crop) -> bool:
        return self._made_for == (frame.format.name, frame.height, frame.width, crop)

    def crop(self, frame: VideoFrame) -> VideoFrame:
        self._graph.push(frame)
        cropped = self._graph.pull()
        assert isinstance(cropped, VideoFrame)
        return cropped
