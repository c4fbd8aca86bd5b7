"""Optical flow as pictures and as a stream: signs, sizes, mirrors, times."""

import cv2
import numpy as np
import pytest
from video_files import write_video

from cliptide.configs.errors import ConfigError, VideoError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.flow import FlowStream
from cliptide.datasets.streams.flow_fields import (
    drawn,
    flow_codes,
    mirrored,
    pictures_of,
)

SIZE = (64, 80)
METHODS = ("dis", "farneback")


def moving_texture(
    count: int,
    *,
    size: tuple[int, int] = SIZE,
    shift: tuple[float, float] = (2.0, 1.0),
    seed: int = 0,
) -> np.ndarray:
    """Frames (count, *size, 3) uint8 of a texture that moves by (x, y) pixels a frame."""
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.integers(0, 256, (height // 6 + 10, width // 6 + 10, 3), dtype=np.uint8)
    texture = cv2.resize(coarse, (width + 60, height + 60), interpolation=cv2.INTER_CUBIC)
    return np.stack(
        [
            cv2.warpAffine(
                texture,
                np.array([[1, 0, shift[0] * at - 30], [0, 1, shift[1] * at - 30]], np.float64),
                (width, height),
                flags=cv2.INTER_CUBIC,
            )
            for at in range(count)
        ]
    )


def flow_pictures(frames: np.ndarray, *, method) -> np.ndarray:
    """Flow from each frame to the next, as pictures."""
    return pictures_of(flow_codes(frames, method=method))


def pixels_of(flow: np.ndarray) -> np.ndarray:
    """Motion in pixels, (n, H, W, 2), x and y, of pictures (n, H, W, 3) or codes."""
    steps = np.clip((flow[..., :2].astype(float) - 128) / 127, -1, 1)
    return np.sinh(steps * np.arcsinh(16)) / 16 * flow.shape[1] / 8


def inside(motion: np.ndarray, margin: int = 12) -> np.ndarray:
    return motion[:, margin:-margin, margin:-margin]


def make_record(path, **values) -> SampleRecord:
    return SampleRecord(source=path, name=path.name, label="", group="", **values)


def flow_stream(**values) -> FlowStream:
    settings = {"size": SIZE, "fit": "resize", "method": "dis", "folder": None}
    settings |= {"image_rate": 25.0, "mirrors": None}
    return FlowStream(**(settings | values))


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "clip.mp4", moving_texture(12, size=(96, 128)))


class TestPictures:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("size", [SIZE, (128, 171)])
    @pytest.mark.parametrize("shift", [(0.5, 0.0), (-3.0, 0.0), (0.0, 2.0), (4.0, -4.0)])
    def test_a_known_shift_is_found_within_half_a_pixel(self, method, size, shift) -> None:
        flow = flow_pictures(moving_texture(3, size=size, shift=shift), method=method)
        assert flow.shape == (2, *size, 3)
        assert flow.dtype == np.uint8
        wrong = inside(pixels_of(flow)) - np.array(shift)
        assert np.percentile(np.abs(wrong), 95) < 0.5

    def test_right_and_down_are_above_128_and_strength_grows_with_motion(self) -> None:
        def middle(shift: tuple[float, float]) -> np.ndarray:
            flow = flow_pictures(moving_texture(2, shift=shift), method="dis")
            return np.median(flow[0], axis=(0, 1))

        right, down, faster = middle((1, 0)), middle((0, 1)), middle((3, 0))
        assert right[0] > 140
        assert right[1] == pytest.approx(128, abs=4)
        assert down[1] > 140
        assert down[0] == pytest.approx(128, abs=4)
        assert faster[2] > right[2] > 0

    def test_what_stands_still_is_128_128_0(self) -> None:
        still = moving_texture(3, shift=(0, 0))
        assert (flow_pictures(still, method="dis") == (128, 128, 0)).all()
        # Farneback finds a little at the borders.
        assert np.abs(pixels_of(inside(flow_pictures(still, method="farneback")))).max() < 0.05

    def test_motion_beyond_an_eighth_of_the_height_counts_as_that(self) -> None:
        codes = flow_codes(moving_texture(2, shift=(10, 0)), method="dis")
        assert codes.min() >= 1
        assert pixels_of(codes).max() == pytest.approx(8.0)

    @pytest.mark.parametrize("size", [(16, 16), (40, 40), SIZE, (128, 171)])
    def test_pairs_that_are_asked_for_are_those_of_the_whole(self, size) -> None:
        frames = moving_texture(6, size=size)
        some = flow_codes(frames, method="dis", starts=[4, 1])
        assert (some == flow_codes(frames, method="dis")[[4, 1]]).all()

    @pytest.mark.parametrize("method", METHODS)
    def test_threads_change_nothing(self, method) -> None:
        frames, before = moving_texture(2, size=(128, 171)), cv2.getNumThreads()
        flows = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            flows.append(flow_pictures(frames, method=method))
        cv2.setNumThreads(before)
        assert (flows[0] == flows[1]).all()

    @pytest.mark.parametrize("method", METHODS)
    def test_mirrored_flow_is_the_flow_of_mirrored_frames(self, method) -> None:
        frames = moving_texture(3, shift=(2.0, -1.0))
        ours = mirrored(flow_pictures(frames, method=method))
        theirs = flow_pictures(np.ascontiguousarray(frames[:, :, ::-1]), method=method)
        assert np.abs(inside(pixels_of(ours)) - inside(pixels_of(theirs))).max() < 0.25
        assert np.abs(inside(ours)[..., 2].astype(int) - inside(theirs)[..., 2]).max() < 12

    def test_mirroring_twice_changes_nothing(self) -> None:
        flow = flow_pictures(moving_texture(2), method="dis")
        assert (mirrored(mirrored(flow)) == flow).all()

    def test_drawn_shows_direction_as_hue_and_no_motion_as_black(self) -> None:
        flow = np.full((4, 16, 32, 3), (128, 128, 0), np.uint8)
        flow[0] = (255, 128, 255)
        flow[1] = (1, 128, 255)
        flow[2] = (128, 255, 128)
        shown = drawn(flow, height=48)
        assert shown.shape == (4, 48, 96, 3)
        assert shown[0, 5, 5].tolist() == [255, 0, 0]
        assert shown[1, 5, 5] == pytest.approx([0, 255, 255], abs=1)
        assert shown[2, 5, 5].max() == 128
        assert shown[3].max() == 0


class TestRepeats:
    def test_a_repeated_frame_has_the_next_motion(self) -> None:
        moving = moving_texture(4, shift=(2.0, -1.0))
        repeated = moving[[0, 0, 1, 1, 1, 2, 3]]
        once = flow_codes(moving, method="dis")
        assert (flow_codes(repeated, method="dis") == once[[0, 0, 1, 1, 1, 2]]).all()

    @pytest.mark.parametrize("size", [(48, 48), (128, 171)])
    @pytest.mark.parametrize("rhythm", [(2,), (3, 2), (1, 1, 1, 2), (5,)])
    def test_repeats_that_went_through_a_codec_are_found(self, tmp_path, size, rhythm) -> None:
        times = (rhythm * 12)[:12]
        frames = np.repeat(moving_texture(12, size=(128, 172)), times, axis=0)
        path = write_video(tmp_path / "repeats.mp4", frames)
        before_the_last = range(len(frames) - times[-1])
        with flow_stream(size=size).open(make_record(path)) as track:
            motion = pixels_of(track.steps(before_the_last))
        across = np.median(inside(motion)[..., 0], axis=(1, 2))
        assert across == pytest.approx(2.0 * size[1] / 172, abs=0.25)

    def test_motion_that_is_even_or_grows_is_taken_as_it_is(self) -> None:
        slow_then_fast = np.concatenate(
            [moving_texture(4, shift=(0.5, 0.0)), moving_texture(12, shift=(0.5, 0.0))[4::2]]
        )
        motion = pixels_of(flow_codes(slow_then_fast, method="dis"))
        across = np.median(inside(motion)[..., 0], axis=(1, 2))
        assert across == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0], abs=0.15)

    def test_a_noisy_still_scene_stays_still(self) -> None:
        still = moving_texture(12, shift=(0, 0)).astype(np.int16)
        noise = np.random.default_rng(0).integers(-3, 4, still.shape)
        noise[::3] = 0
        frames = (still + noise).clip(0, 255).astype(np.uint8)
        motion = pixels_of(flow_codes(frames, method="dis"))
        assert np.abs(inside(motion)).mean() < 0.05

    def test_motion_more_than_five_frames_on_does_not_come_early(self) -> None:
        frames = moving_texture(2)[[0] * 7 + [1]]
        moves = (flow_codes(frames, method="dis") != 128).any(axis=(1, 2, 3))
        assert moves.tolist() == [False, False, True, True, True, True, True]

    def test_a_cut_does_not_reach_back_into_the_motion_before_it(self) -> None:
        moving = moving_texture(6)
        frames = np.concatenate([moving, moving_texture(3, seed=5)])
        assert (flow_codes(frames, method="dis")[:5] == flow_codes(moving, method="dis")).all()

    def test_repeats_are_the_same_alone_among_others_and_in_a_part(self, tmp_path) -> None:
        frames = np.repeat(moving_texture(8, size=(96, 128)), 3, axis=0)
        path = write_video(tmp_path / "repeats.mp4", frames)
        stream = flow_stream()
        with (
            stream.open(make_record(path)) as track,
            stream.open(make_record(path, end_s=0.32)) as part,
        ):
            everything = track.steps(range(24))
            for index in (0, 4, 7, 20, 21):
                assert (track.steps([index])[0] == everything[index]).all()
            assert (part.steps(range(8)) == everything[:8]).all()


class TestStream:
    def test_a_track_has_the_times_of_its_part_of_the_video(self, clip) -> None:
        with flow_stream().open(make_record(clip, start_s=0.12, end_s=0.32)) as track:
            assert track.pts_s == pytest.approx([0.12, 0.16, 0.2, 0.24, 0.28])
            assert track.duration_s == pytest.approx(0.2)
            assert track.steps([0, 4]).shape == (2, *SIZE, 3)

    def test_steps_come_in_the_order_asked_and_show_the_motion_to_the_next_frame(
        self, tmp_path
    ) -> None:
        frames = moving_texture(5, size=(96, 128))
        frames[3:] = frames[3]  # moves up to frame 3, then stands
        with flow_stream(size=(96, 128)).open(
            make_record(write_video(tmp_path / "stops.mp4", frames))
        ) as track:
            shown = pixels_of(track.steps([3, 2, 0, 2]))
        assert np.abs(inside(shown[:1])).mean() < 0.1
        assert np.median(inside(shown[1:])[..., 0]) == pytest.approx(2.0, abs=0.2)
        assert (shown[1] == shown[3]).all()

    def test_steps_are_the_same_alone_and_among_others(self, clip) -> None:
        with flow_stream().open(make_record(clip)) as track:
            _, everything = flow_stream().content(track)
            assert len(everything) == 12
            for index in (7, 0, 10):
                assert (track.steps([index])[0] == everything[index]).all()

    def test_the_last_frame_repeats_the_motion_before_it(self, clip) -> None:
        with flow_stream().open(make_record(clip)) as track:
            last, before = track.steps([11, 10])
        assert (last == before).all()

    def test_the_last_frame_of_a_part_moves_to_the_frame_behind_the_part(self, clip) -> None:
        stream = flow_stream()
        with (
            stream.open(make_record(clip, end_s=0.2)) as part,
            stream.open(make_record(clip)) as whole,
        ):
            assert len(part.pts_s) == 5
            assert (part.steps([4]) == whole.steps([4])).all()

    def test_a_video_of_one_frame_does_not_move(self, tmp_path) -> None:
        path = write_video(tmp_path / "one.mp4", moving_texture(1, size=(96, 128)))
        with flow_stream().open(make_record(path)) as track:
            assert (track.steps([0, 0]) == (128, 128, 0)).all()

    def test_what_is_kept_in_memory_reads_as_the_file_does(self, clip) -> None:
        stream = flow_stream()
        with stream.open(make_record(clip, start_s=0.1)) as track:
            times_s, rows = stream.content(track)
            again = stream.from_content(times_s, rows, track.duration_s)
            assert rows.shape[1:] == stream.row_shape
            assert rows.dtype == stream.row_type
            assert (again.steps([5, 1]) == track.steps([5, 1])).all()
            moments = np.array([0.13, 0.3])
            assert (again.around(moments) == track.around(moments)).all()
            assert again.duration_s == track.duration_s

    def test_flow_is_mirrored_when_the_pictures_are(self, clip) -> None:
        stream = flow_stream(mirrors=lambda seed: seed == 7)
        with stream.open(make_record(clip)) as track:
            steps = track.steps([0, 1])
        assert (stream.augmented(steps, 3) == steps).all()
        assert (stream.augmented(steps, 7) == mirrored(steps)).all()
        assert (flow_stream().augmented(steps, 7) == steps).all()

    def test_bars_do_not_move(self, clip) -> None:
        stream = flow_stream(size=(96, 64), fit="letterbox")
        with stream.open(make_record(clip)) as track:
            steps = track.steps([2])
        assert (steps[0, :24] == (128, 128, 0)).all()
        assert (steps[0, 72:] == (128, 128, 0)).all()
        assert np.median(pixels_of(steps)[0, 30:66, :, 0]) == pytest.approx(1.0, abs=0.2)

    def test_a_file_that_is_no_video_is_said_by_name(self, tmp_path) -> None:
        path = tmp_path / "notes.mp4"
        path.write_text("no video")
        with pytest.raises(VideoError, match=r"notes\.mp4"), flow_stream().open(make_record(path)):
            pass

    def test_frames_too_small_for_flow_are_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"data\.size is 12x40.*Use 16x16 or more"):
            flow_stream(size=(12, 40))
