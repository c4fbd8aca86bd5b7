"""Sound as a stream: columns on the clock, augmentation, drawing, and the synthetic sounds."""

import cv2
import numpy as np
import pytest
from clapper import write_clapper

from cliptide.configs.errors import SampleError
from cliptide.datasets.records import SampleRecord
from cliptide.datasets.streams.audio import AudioStream
from cliptide.datasets.streams.log_mel import LOG_FLOOR
from cliptide.datasets.streams.sound import read_sound
from cliptide.datasets.synthetic_sound import (
    SOUND_AND_PICTURE_CLASSES,
    SOUND_CLASSES,
    clip_sound,
    write_sound,
    write_sound_and_picture_dataset,
    write_sound_dataset,
)
from cliptide.datasets.video import open_video


def made(**changed: int) -> AudioStream:
    return AudioStream(**{"window": 24, "hop": 12, "sample_rate": 16000, "mels": 32} | changed)


def record(path, start_s: float = 0.0, end_s: float | None = None) -> SampleRecord:
    return SampleRecord(path, path.name, "a", "g", start_s=start_s, end_s=end_s)


@pytest.fixture(scope="module")
def steps():
    """(20, 24, 32): the steps of a sound."""
    return np.random.default_rng(0).normal(-6, 3, (20, 24, 32)).astype(np.float32)


def test_steps_around_the_flashes_hold_the_clicks(tmp_path):
    moments = write_clapper(tmp_path / "clap.mp4", picture_from_s=0.4)
    stream = made(window=9)
    with stream.open(record(tmp_path / "clap.mp4")) as track:
        assert track.pts_s[0] < 0  # sound begins before the picture
        around = track.around(np.array(moments))
    assert around.shape == (3, 9, 32)
    assert around.sum(axis=2).argmax(axis=1).tolist() == [4, 4, 4]  # the middle


def test_a_part_has_its_times_and_length(tmp_path):
    write_sound(tmp_path / "a.wav", np.zeros(32000, np.float32))
    rows = made().read(record(tmp_path / "a.wav", 0.5, 1.25))
    assert rows.rows.shape == (75, 32)
    assert rows.rows.dtype == np.float32
    assert rows.times_s == pytest.approx(0.5 + np.arange(75) / 100)
    assert rows.duration_s == pytest.approx(0.75)


def test_one_sample_is_one_column_and_one_step(tmp_path):
    write_sound(tmp_path / "a.wav", np.zeros(1, np.float32))
    with made().open(record(tmp_path / "a.wav")) as track:
        assert len(track.pts_s) == 1
        assert track.steps([0]) == pytest.approx(LOG_FLOOR, abs=1e-5)


def test_what_is_kept_gives_the_same_steps(tmp_path):
    write_sound(
        tmp_path / "a.wav", clip_sound("rising", duration_s=1.0, rng=np.random.default_rng(0))
    )
    stream = made()
    with stream.open(record(tmp_path / "a.wav")) as track:
        times_s, rows = stream.content(track)
        again = stream.from_content(times_s, rows, track.duration_s)
        assert rows.shape[1:] == stream.row_shape
        assert rows.dtype == stream.row_type
        assert np.array_equal(again.steps([0, 3]), track.steps([0, 3]))


def test_a_video_without_sound_says_so(tmp_path):
    silent = tmp_path / "silent.gif"
    silent.write_bytes(b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;")
    with (
        pytest.raises(SampleError, match=r"silent.gif: has no sound track, only video. Choose a"),
        made().open(record(silent)),
    ):
        pass


def test_an_image_is_called_no_video(tmp_path):
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
        with (
            pytest.raises(SampleError, match=r"a\....: holds no sound\. Choose"),
            made().open(record(tmp_path / name)),
        ):
            pass


class TestAugmented:
    def test_is_the_same_for_the_same_seed_and_leaves_its_input(self, steps):
        before = steps.copy()
        one, other, third = (made().augmented(steps, seed) for seed in (3, 3, 4))
        assert np.array_equal(one, other)
        assert not np.array_equal(one, third)
        assert np.array_equal(steps, before)
        assert one.dtype == np.float32

    def test_masks_the_same_bands_in_all_steps_and_some_steps_whole(self, steps):
        lengths = set()
        for seed in range(60):
            changed = made().augmented(steps, seed)
            masked = _masked(changed)
            bands = masked.all(axis=(0, 1))
            assert 1 <= bands.sum() <= 8  # one or two of up to 32 / 8
            whole = masked.all(axis=(1, 2))
            lengths.add(int(whole.sum()))
            assert (masked == (bands | whole[:, None, None])).all()
            assert np.diff(np.flatnonzero(whole)).tolist() in ([], [1] * (whole.sum() - 1))
        assert lengths == {0, 1, 2, 3, 4}  # up to a fifth of 20

    def test_adds_one_gain_to_all_that_is_heard(self, steps):
        changed = made().augmented(steps, 1)
        heard = ~_masked(changed) & (steps > -4)
        gains = (changed - steps)[heard]
        assert gains.std() < 1e-3
        assert 0 < abs(gains.mean()) < 1.4  # 6 dB

    def test_silence_stays_silence(self):
        silence = np.full((1, 24, 32), LOG_FLOOR, np.float32)
        for seed in range(9):
            assert made().augmented(silence, seed) == pytest.approx(LOG_FLOOR, abs=1e-3)

    def test_a_single_step_is_never_masked_whole(self, steps):
        for seed in range(30):
            assert not _masked(made().augmented(steps[:1], seed)).all()


def _masked(steps: np.ndarray) -> np.ndarray:
    """Where the one value stands that is there again and again."""
    values, counts = np.unique(steps, return_counts=True)
    return steps == values[counts.argmax()]


class TestDrawn:
    def test_low_bands_are_at_the_bottom_and_time_goes_right(self):
        steps = np.full((2, 24, 32), -10, np.float32)
        steps[0, :3, :4] = 2.0  # early and low
        steps[1, -3:, -4:] = 2.0  # late and high
        first, second = made().drawn(steps, height=64).mean(axis=3)
        assert first.shape == (64, 48)
        assert first[60:, :4].mean() > 150 > 20 > first[:32].mean()
        assert second[:4, -4:].mean() > 150 > 20 > second[32:].mean()

    def test_contrast_is_of_all_steps_together(self, steps):
        louder = np.stack([steps[0] - 8, steps[0] + 8])
        soft, loud = made().drawn(louder, height=32)
        assert soft.mean() < loud.mean() - 50

    @pytest.mark.parametrize("every", [1, 2, 4])
    def test_moments_side_by_side_are_one_spectrogram(self, tmp_path, every):
        """Windows overlap, but nothing is shown twice: one click stays one click."""
        samples = np.zeros(16000, np.float32)
        samples[8000:8100] = 1
        write_sound(tmp_path / "a.wav", samples)
        stream = made()
        with stream.open(record(tmp_path / "a.wav")) as track:
            tiles = stream.shown(track, track.pts_s[:-1:every], height=32)
        loud = np.concatenate(list(tiles), axis=1).mean(axis=(0, 2)) > 60
        assert np.count_nonzero(np.diff(loud.astype(int)) == 1) == 1
        assert tiles.shape[2] >= 19

    @pytest.mark.parametrize("level", [LOG_FLOOR, 0.0])
    def test_silence_can_be_drawn(self, level):
        tiles = made().drawn(np.full((1, 24, 32), level, np.float32), height=20)
        assert tiles.shape == (1, 20, 15, 3)
        assert tiles.dtype == np.uint8


class TestSynthetic:
    @pytest.mark.parametrize("ending", [".wav", ".m4a"])
    def test_sounds_are_written_by_class_and_group(self, tmp_path, ending):
        paths = list(write_sound_dataset(tmp_path, groups=2, clips_per_group=1, ending=ending))
        assert {path.parent.name for path in paths} == set(SOUND_CLASSES)
        assert f"v_rising_g02_c01{ending}" in {path.name for path in paths}
        samples, first_s = read_sound(paths[0], sample_rate=16000)
        assert first_s == 0
        assert 1.0 <= len(samples) / 16000 < 1.6

    def test_a_class_backwards_has_the_same_spectrum_on_average(self):
        """What tells rising from falling is order, and nothing that an average keeps."""
        means = {
            label: np.mean(
                [
                    _power(clip_sound(label, duration_s=1.2, rng=np.random.default_rng(seed)))
                    for seed in range(40)
                ],
                axis=0,
            )
            for label in ("rising", "falling", "low_high", "high_low")
        }
        assert means["rising"] == pytest.approx(means["falling"], rel=0.1)
        assert means["low_high"] == pytest.approx(means["high_low"], rel=0.1)

    def test_videos_have_both_streams_as_long_as_each_other(self, tmp_path):
        paths = list(write_sound_and_picture_dataset(tmp_path, groups=1, clips_per_group=1))
        assert tuple(path.parent.name for path in paths) == SOUND_AND_PICTURE_CLASSES
        for path in paths:
            samples, first_s = read_sound(path, sample_rate=16000)
            with open_video(path) as video:
                assert first_s + len(samples) / 16000 == pytest.approx(video.duration_s, abs=0.1)

    def test_each_class_has_one_that_differs_in_one_stream_alone(self):
        pairs = [tuple(name.split("-")) for name in SOUND_AND_PICTURE_CLASSES]
        for place in (0, 1):
            # Knowing one stream leaves two of the four: right in half of the clips at best.
            assert all([pair[place] for pair in pairs].count(one[place]) == 2 for one in pairs)


def _power(samples: np.ndarray) -> np.ndarray:
    """In eight wide bands."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    return np.array([part.sum() for part in np.array_split(spectrum[:3600], 8)])
