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
        try:
            side_data: Any = frame.side_data  # a mapping by Type; PyAV's stub says otherwise
        except ValueError:
            # PyAV 18 does not know FFmpeg's EXIF and then gives nothing that is beside a frame.
            return cls()
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
        if crop is None and (height, width) == (frame.height, frame.width):
            picture[:] = self.orientation.apply(self._own_size(frame))
            return
        if crop is not None and (crop.height, crop.width) == picture.shape[:2]:
            # FFmpeg treats chroma at edges as it treats it inside: only a slice is the same.
            top, left, height, width = self._stored(crop)
            whole = self._own_size(self._first_size(frame))
            picture[:] = self.orientation.apply(whole[top : top + height, left : left + width])
            return
        if crop is not None:
            frame = self._cropped(self._first_size(frame), crop)
        # Planes, because FFmpeg scales into them two to three times as fast as into packed RGB.
        green, blue, red = self._planes(frame, height, width, format="gbrp", interpolation="AREA")
        for channel, plane in enumerate((red, green, blue)):
            picture[:, :, channel] = self.orientation.apply(plane)

    def _own_size(self, frame: VideoFrame) -> Picture:
        # BILINEAR, which PyAV's own conversion uses: chroma is upsampled by it.
        (rgb,) = self._planes(
            frame, frame.height, frame.width, format="rgb24", interpolation="BILINEAR"
        )
        return rgb.reshape(frame.height, frame.width, 3)

    def _first_size(self, frame: VideoFrame) -> VideoFrame:
        height, width = self._stored_size
        if (frame.height, frame.width) == self._stored_size:
            return frame
        return self._reformatter.reformat(
            frame, width=width, height=height, interpolation="AREA", threads=1
        )

    def _stored(self, crop: Crop) -> Crop:
        return self.orientation.stored(crop, height=self.height, width=self.width)

    def _cropped(self, frame: VideoFrame, crop: Crop) -> VideoFrame:
        """Cut a part out; its corner is rounded down to a whole sample of chroma."""
        part = self._stored(crop)
        # A corner between two chroma samples would shift the colours, and breaks 10 bit.
        beside_y = part.top % (64 // frame.format.chroma_height(64))
        beside_x = part.left % (64 // frame.format.chroma_width(64))
        part = Crop(
            part.top - beside_y, part.left - beside_x, part.height + beside_y, part.width + beside_x
        )
        if self._cropper is None or not self._cropper.fits(frame, part):
            self._cropper = _Cropper(frame, part)
        return self._cropper.crop(frame)

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
