"""Sound is on the clock of its pictures, whole, and what is wrong with a file is said."""

import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from clapper import write_clapper

from cliptide.configs.errors import SampleError
from cliptide.datasets.streams import sound as sound_module
from cliptide.datasets.streams.sound import read_sound
from cliptide.datasets.synthetic_sound import write_sound
from cliptide.datasets.video import open_video

RATE = 16000
FRAME_S = 1 / 25


def noise(seconds: float, rate: int = RATE) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(round(seconds * rate)) * 0.1).astype(
        np.float32
    )


def clicks_s(path) -> np.ndarray:
    """When clicks begin, seconds."""
    samples, first_s = read_sound(path, sample_rate=RATE)
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    return first_s + loud[np.diff(loud, prepend=-RATE) > RATE // 10] / RATE


def flashes_s(path) -> np.ndarray:
    with open_video(path) as video:
        levels = video.frames_at(range(video.num_frames)).mean(axis=(1, 2, 3))
        return video.pts_s[levels > 128]


class TestClock:
    @pytest.mark.parametrize(
        ("name", "codecs"),
        [
            ("clap.mp4", {}),
            ("mp3.mp4", {"sound_codec": "libmp3lame"}),
            ("clap.mkv", {}),
            ("pcm.mkv", {"sound_codec": "pcm_s16le"}),
            ("aac.mkv", {"sound_codec": "aac"}),
            ("clap.avi", {"video_codec": "mpeg4"}),
            ("clap.ts", {"sound_codec": "aac"}),
        ],
    )
    def test_clicks_are_at_the_flashes(self, tmp_path, name, codecs):
        moments = write_clapper(tmp_path / name, **codecs)
        assert flashes_s(tmp_path / name) == pytest.approx(moments, abs=1e-3)
        assert clicks_s(tmp_path / name) == pytest.approx(moments, abs=2e-3)

    def test_an_encoders_delay_that_avi_does_not_tell_stays_within_a_frame(self, tmp_path):
        write_clapper(tmp_path / "clap.avi", video_codec="mpeg4", sound_codec="libmp3lame")
        flashes = flashes_s(tmp_path / "clap.avi")
        assert clicks_s(tmp_path / "clap.avi") == pytest.approx(flashes, abs=FRAME_S)

    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_sound_may_begin_behind_the_picture(self, tmp_path, ending):
        path = tmp_path / f"late.{ending}"
        moments = write_clapper(path, sound_from_s=0.7)
        assert read_sound(path, sample_rate=RATE)[1] == pytest.approx(0.7, abs=0.03)
        assert clicks_s(path) == pytest.approx(moments[1:], abs=2e-3)

    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_sound_may_begin_before_the_picture(self, tmp_path, ending):
        path = tmp_path / f"early.{ending}"
        moments = write_clapper(path, picture_from_s=0.6)
        assert read_sound(path, sample_rate=RATE)[1] == pytest.approx(-0.6, abs=1e-3)
        assert clicks_s(path) == pytest.approx(moments, abs=2e-3)

    @pytest.mark.parametrize(
        ("name", "codec"),
        [
            ("a.wav", None),
            ("a.flac", "flac"),
            ("a.m4a", None),
            ("a.mp3", "libmp3lame"),
            ("a.opus", "libopus"),
            ("a.mka", "aac"),
        ],
    )
    def test_a_sound_file_begins_at_its_first_sample_without_priming(self, tmp_path, name, codec):
        samples = np.zeros(96000, np.float32)
        samples[48000:48010] = 0.9
        write_sound(tmp_path / name, samples, rate=48000, sound_codec=codec)
        read, first_s = read_sound(tmp_path / name, sample_rate=RATE)
        assert first_s == 0
        assert len(read) / RATE == pytest.approx(2, abs=0.025)
        assert np.abs(read).argmax() / RATE == pytest.approx(1, abs=1e-3)

    def test_a_gap_in_the_stamps_is_silence_and_what_follows_stays_in_place(self, tmp_path):
        write_blocks(tmp_path / "a.mka", starts_s=[0.0, 1.0, 3.5])
        samples, _ = read_sound(tmp_path / "a.mka", sample_rate=RATE)
        assert len(samples) == 4.5 * RATE
        assert not samples[2 * RATE : round(3.5 * RATE)].any()
        assert np.abs(samples[round(3.5 * RATE) :]).min() > 0

    def test_stamps_a_little_off_make_no_gap(self, tmp_path):
        write_blocks(tmp_path / "a.mka", starts_s=[0.0, 1.04, 2.03])
        samples, _ = read_sound(tmp_path / "a.mka", sample_rate=RATE)
        assert len(samples) == 3 * RATE
        assert np.abs(samples).min() > 0

    def test_a_leap_in_the_stamps_is_no_pause(self, tmp_path):
        write_blocks(tmp_path / "a.mka", starts_s=[0.0, 1.0, 9000.0])
        with pytest.raises(SampleError, match=r"leap by 8998 s behind 2.00 s. Write it anew"):
            read_sound(tmp_path / "a.mka", sample_rate=RATE)

    def test_pauses_of_more_than_an_hour_together_are_none(self, tmp_path):
        write_blocks(tmp_path / "a.mka", starts_s=[0.0, 3000.0, 6000.0])
        with pytest.raises(SampleError, match=r"leap by 2999 s behind 3001.00 s and before that b"):
            read_sound(tmp_path / "a.mka", sample_rate=RATE)
        assert len(read_sound(tmp_path / "a.mka", sample_rate=RATE, end_s=2.0)[0]) == 2 * RATE


def write_blocks(path, *, starts_s: list[float]) -> None:
    """Sound of a second from each of the moments on, never 0."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start_s in starts_s:
            packet = av.Packet(np.full(RATE, 3000, "<i2").tobytes())
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = round(start_s * RATE)
            packet.duration = RATE
            container.mux(packet)


class TestParts:
    @pytest.mark.parametrize(
        ("name", "codec", "rate"),
        [
            ("a.wav", None, 44100),
            ("a.m4a", None, 44100),
            ("a.mp3", "libmp3lame", 44100),
            ("a.mka", "aac", 44100),  # stamps of whole milliseconds, frames of 23.2
            ("b.mka", "libopus", 48000),
            ("a.flac", "flac", RATE),
        ],
    )
    def test_a_part_entered_in_the_middle_equals_the_whole(
        self, tmp_path, monkeypatch, name, codec, rate
    ):
        write_sound(tmp_path / name, noise(16, rate), rate=rate, sound_codec=codec)
        whole, _ = read_sound(tmp_path / name, sample_rate=RATE)
        entered = []
        from_middle = sound_module._from_middle
        monkeypatch.setattr(
            sound_module, "_from_middle", lambda *a: entered.append(a) or from_middle(*a)
        )
        for start_s, end_s in ((12.3456, 12.5), (0.5, 1.25), (14.0, None)):
            part, first_s = read_sound(
                tmp_path / name, sample_rate=RATE, start_s=start_s, end_s=end_s
            )
            first = round(first_s * RATE)
            assert 0 <= first_s - start_s < 1 / RATE
            assert np.array_equal(part, whole[first:][: len(part)])
            if end_s is not None:
                assert len(part) == pytest.approx((end_s - start_s) * RATE, abs=1)
        assert len(entered) == 2

    def test_neighbouring_parts_share_no_sample_and_lose_none(self, tmp_path):
        write_sound(tmp_path / "a.wav", noise(2))
        parts = [
            read_sound(tmp_path / "a.wav", sample_rate=RATE, start_s=a, end_s=b)[0]
            for a, b in ((0, 0.1 + 0.2), (0.3, 1.00001), (1.00001, None))
        ]
        whole, _ = read_sound(tmp_path / "a.wav", sample_rate=RATE)
        assert np.array_equal(np.concatenate(parts), whole)

    @pytest.mark.parametrize(("start_s", "end_s"), [(2.5, None), (40.0, 41.0), (1.0, 1.0)])
    def test_a_part_without_sound_says_where_there_is_some(self, tmp_path, start_s, end_s):
        write_sound(tmp_path / "a.wav", noise(2))
        with pytest.raises(
            SampleError, match=rf"no sound from {start_s:g} s to .* Correct start_s and end_s"
        ):
            read_sound(tmp_path / "a.wav", sample_rate=RATE, start_s=start_s, end_s=end_s)


class TestSamples:
    @pytest.mark.parametrize("channels", [1, 2, 6, 7, 8])
    def test_channels_are_mixed_to_their_mean(self, tmp_path, channels):
        levels = np.linspace(-0.2, 0.6, channels, dtype=np.float32)
        write_sound(tmp_path / "a.wav", np.repeat(levels[:, None], RATE, axis=1))
        samples, _ = read_sound(tmp_path / "a.wav", sample_rate=RATE)
        assert samples == pytest.approx(levels.mean(), abs=1e-4)

    @pytest.mark.parametrize("layout", ["7.1", "11 channels"])
    def test_many_channels_that_lie_apart_are_mixed_too(self, tmp_path, layout):
        """PyAV 18 reads behind its list of planes from eight on, and dies."""
        with av.open(str(tmp_path / "a.nut"), "w") as container:
            stream = container.add_stream("pcm_s16le_planar", rate=RATE, layout=layout)
            values = np.full((1, stream.layout.nb_channels * 400), 0.25, np.float32)
            frame = av.AudioFrame.from_ndarray(values, format="flt", layout=layout)
            frame.sample_rate = RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
        samples, _ = read_sound(tmp_path / "a.nut", sample_rate=RATE)
        assert samples == pytest.approx(np.full(400, 0.25), abs=1e-4)

    def test_channels_without_a_layout_are_mixed_too(self, tmp_path):
        with wave.open(str(tmp_path / "a.wav"), "wb") as file:
            file.setnchannels(11)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.tile(np.arange(11, dtype="<i2") * 1000, 400).tobytes())
        samples, _ = read_sound(tmp_path / "a.wav", sample_rate=RATE)
        assert samples == pytest.approx(np.full(400, 5000 / 2**15), abs=1e-6)

    @pytest.mark.parametrize("kind", ["u8", "s16le", "s24le", "s32le", "s64le", "f32le", "f64le"])
    def test_every_kind_of_number_is_on_one_scale(self, tmp_path, kind):
        path = tmp_path / "a.nut"
        write_sound(path, np.full(RATE, 0.5, np.float32), sound_codec=f"pcm_{kind}")
        assert read_sound(path, sample_rate=RATE)[0] == pytest.approx(0.5, abs=0.01)

    @pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
    def test_a_tone_stays_itself_at_another_rate(self, tmp_path, rate):
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        write_sound(tmp_path / "a.wav", tone.astype(np.float32), rate=rate)
        samples, _ = read_sound(tmp_path / "a.wav", sample_rate=RATE)
        wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
        assert samples.dtype == np.float32
        assert len(samples) == RATE
        assert samples[800:-800] == pytest.approx(wanted[800:-800], abs=2e-3)

    @pytest.mark.parametrize("count", [1, 2, 50])
    @pytest.mark.parametrize("rate", [8000, RATE, 44100])
    def test_the_shortest_and_the_silent_are_sound_too(self, tmp_path, count, rate):
        write_sound(tmp_path / "a.wav", np.zeros(count, np.float32), rate=rate)
        samples, first_s = read_sound(tmp_path / "a.wav", sample_rate=RATE)
        assert samples.tolist() == [0.0] * -(-count * RATE // rate)
        assert first_s == 0

    def test_a_cover_picture_sets_no_clock(self, tmp_path):
        song = tmp_path / "song.m4a"
        with av.open(str(song), "w", format="mp4") as container:
            sound = container.add_stream("aac", rate=RATE, layout="mono")
            cover = container.add_stream("mjpeg", rate=1)
            cover.width = cover.height = 16
            cover.pix_fmt = "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            container.mux([*cover.encode(picture), *cover.encode(None)])
            block = av.AudioFrame.from_ndarray(noise(1)[None], format="fltp", layout="mono")
            block.sample_rate = RATE
            container.mux([*sound.encode(block), *sound.encode(None)])
        assert read_sound(song, sample_rate=RATE)[1] == 0


class TestBadFiles:
    def refused(self, path) -> str:
        with pytest.raises(SampleError) as caught:
            read_sound(path, sample_rate=RATE)
        message = str(caught.value)
        assert message.startswith(str(path))
        return message.removeprefix(f"{path}: ")

    def test_a_missing_file_a_folder_and_an_empty_file(self, tmp_path):
        (tmp_path / "empty.wav").touch()
        assert self.refused(tmp_path / "a.wav") == "there is no such file. Check the path."
        assert "is a folder, not a sound file. Name a file" in self.refused(tmp_path)
        assert "is empty (0 bytes). Copy or down" in self.refused(tmp_path / "empty.wav")

    @pytest.mark.parametrize("content", [b"Dear diary,\n" * 99, bytes(5000), b"RIFF\xff\xff"])
    def test_no_sound_file(self, tmp_path, content):
        (tmp_path / "a.wav").write_bytes(content)
        message = self.refused(tmp_path / "a.wav")
        assert message.startswith("is no sound file or video that FFmpeg can open")
        assert "Replace it" in message

    def test_a_video_without_sound(self, tmp_path):
        write_clapper(tmp_path / "clap.mp4")
        with (
            av.open(str(tmp_path / "clap.mp4")) as source,
            av.open(str(tmp_path / "silent.mp4"), "w") as target,
        ):
            picture = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = picture
                    target.mux(packet)
        assert self.refused(tmp_path / "silent.mp4").startswith(
            "has no sound track, only video. Choose a file with sound"
        )

    def test_a_track_without_a_sample(self, tmp_path):
        with wave.open(str(tmp_path / "a.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
        assert "holds no sound. Replace it" in self.refused(tmp_path / "a.wav")

    @pytest.mark.parametrize(
        ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.aac", "aac")]
    )
    def test_damage_is_told_with_its_second(self, tmp_path, name, codec):
        write_sound(tmp_path / name, noise(8), sound_codec=codec)
        content = bytearray((tmp_path / name).read_bytes())
        middle = len(content) // 2
        content[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
        (tmp_path / name).write_bytes(content)
        message = self.refused(tmp_path / name)
        assert message.startswith("its sound is damaged behind ")
        assert 3 < float(message.split()[5]) < 5
        assert "Replace it" in message
        # What lies before it can be read.
        assert len(read_sound(tmp_path / name, sample_rate=RATE, end_s=2.0)[0]) == 2 * RATE

    def test_cut_short_is_told_with_its_second(self, tmp_path):
        write_sound(tmp_path / "a.wav", noise(4))
        (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[: 2 * RATE * 3])
        assert self.refused(tmp_path / "a.wav").startswith("its sound is damaged behind 2.9")

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
    def test_numbers_that_are_no_sound(self, tmp_path, value):
        samples = noise(1)
        samples[9000] = value
        write_sound(tmp_path / "a.wav", samples, sound_codec="pcm_f32le")
        assert "what is decoded is no sound" in self.refused(tmp_path / "a.wav")


def test_hard_files_are_read_or_refused_by_name(shared_dir):
    files = sorted((shared_dir / "data" / "hard").iterdir())
    with_sound = 0
    for path in files:
        try:
            samples, first_s = read_sound(path, sample_rate=RATE)
        except SampleError as error:
            assert path.name in str(error)
            continue
        with_sound += 1
        assert len(samples) > RATE
        assert abs(first_s) < 0.05
    assert with_sound >= 8
