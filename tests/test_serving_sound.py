"""Sound that is sent to a server: never more of it is read than may be, and messages fit it."""

import asyncio
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from video_files import numbered_frames, write_video, write_wav

from cliptide.app.serving.decoding import ClipsJob, FramesJob
from cliptide.app.serving.errors import ApiError
from cliptide.app.serving.pool import DecoderPool
from cliptide.configs.streams import StepsConfig, Streams
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.synthetic_sound import write_sound

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")

HOUR_S = 3600
MOST_S = 20.0
SOUND, BOTH = ("audio",), ("rgb", "audio")


def job(path, names, *, along=False, most_s=MOST_S, sample_rate=16000):
    """The clips of a file, or going along it."""
    facts = {
        "name": path.name,
        "path": str(path),
        "size": (32, 32),
        "fit": "resize",
        "streams": Streams(names=names, steps=StepsConfig(sample_rate=sample_rate)),
        "most_pixels": 10**6,
        "most_s": most_s,
    }
    if along:
        return FramesJob(**facts, rate_fps=5.0)
    return ClipsJob(**facts, rule=SamplingRule("uniform", frames=4), num_views=1)


def refused(*jobs, memory_mb=200):
    """What a worker with little memory says to each job."""

    async def run():
        pool = DecoderPool(1, memory_mb=memory_mb, on_death=lambda cause: None)
        await pool.start()
        said = []
        try:
            for each in jobs:
                with pytest.raises(ApiError) as error:
                    await pool.read(each, list, file=None, time_s=30.0)
                said.append((error.value.code, error.value.message))
        finally:
            await pool.close()
        return said

    return asyncio.run(run())


def write_blocks(path, starts_s, *, frames=None):
    """Sound of a second from each moment on, and pictures where frames are given."""
    rate = 8000
    with av.open(str(path), "w") as out:
        if frames is not None:
            picture = out.add_stream("mpeg4", rate=25, options={})
            picture.height, picture.width, picture.pix_fmt = 48, 64, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        for array in [] if frames is None else frames:
            out.mux(picture.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        if frames is not None:
            out.mux(picture.encode(None))
        for start_s in starts_s:
            packet = av.Packet(np.full(rate, 3000, "<i2").tobytes())
            packet.stream, packet.time_base = sound, Fraction(1, rate)
            packet.pts = packet.dts = round(start_s * rate)
            packet.duration = rate
            out.mux(packet)
    return path


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """An hour of sound, which is 460 MB at 32000 samples a second."""
    return write_wav(tmp_path_factory.mktemp("hour") / "hour.wav", HOUR_S)


def test_a_sound_that_says_it_is_too_long_is_not_decoded(hour):
    for said in refused(*(job(hour, SOUND, along=along) for along in (False, True))):
        assert said == (
            "too_long",
            "hour.wav: its sound lasts 3600.0 s or more, and this server takes 20 s. Send a part: "
            "ffmpeg -ss 0 -t 20 -i IN -vn -c copy OUT.mka",
        )


@pytest.mark.parametrize("along", [False, True])
def test_a_long_sound_beside_a_short_picture_is_refused(tmp_path, along):
    path = write_blocks(tmp_path / "a.mkv", range(60), frames=numbered_frames(10))
    ((code, message),) = refused(job(path, BOTH, along=along))
    assert code == "too_long"
    assert "a.mkv: its sound lasts 60.0 s or more" in message
    assert message.endswith("ffmpeg -ss 0 -t 20 -i IN -c copy OUT.mkv")


def test_a_sound_that_does_not_say_its_length_is_read_no_further_than_it_may(tmp_path):
    # Of a bare MP3 the length is a guess, which nothing is refused by.
    samples = np.zeros(8000 * 90, np.float32)
    write_sound(tmp_path / "a.mp3", samples, rate=8000, sound_codec="libmp3lame")
    ((code, message),) = refused(job(tmp_path / "a.mp3", SOUND))
    assert (code, "lasts 21.5 s or more" in message) == ("too_long", True)


def test_stamps_that_leap_make_no_more_silence_than_may_be(tmp_path):
    path = write_blocks(tmp_path / "a.mka", [0.0, 3000.0])
    told = path.read_bytes()
    # A recording that was never finished does not tell its length.
    at = told.index(b"\x44\x89\x88") + 3
    path.write_bytes(told[:at] + bytes(8) + told[at + 8 :])
    ((code, message),) = refused(job(path, SOUND, sample_rate=96000))
    assert (code, "lasts 21.5 s or more" in message) == ("too_long", True)


def test_too_little_memory_for_a_sound_asks_for_a_shorter_one(hour):
    ((code, message),) = refused(job(hour, SOUND, most_s=2 * HOUR_S, sample_rate=32000))
    assert (code, message) == (
        "too_large",
        "hour.wav: reading it needs more memory than the server gives one sound. Send a shorter "
        "sound.",
    )


def test_a_silent_video_is_told_without_words_of_training(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered_frames(10))
    assert refused(job(path, SOUND)) == [
        ("not_readable", "a.mp4: has no sound track, only video. Choose a file with sound.")
    ]


@pytest.mark.parametrize(
    ("names", "noun", "less", "reencoding", "cutting"),
    [
        (("rgb",), "video", "smaller video", "-c:v libx264 OUT.mp4", "-c copy OUT.mp4"),
        (SOUND, "sound", "a shorter sound", "-vn OUT.wav", "-vn -c copy OUT.mka"),
        (BOTH, "video", "smaller video", "-c:v libx264 -c:a aac OUT.mp4", "-c copy OUT.mkv"),
    ],
)
def test_mends_are_of_what_is_read(tmp_path, names, noun, less, reencoding, cutting):
    asked = job(tmp_path / "a", names)
    assert asked.noun == noun
    assert asked.less.endswith(less)
    assert asked.reencoding == f"ffmpeg -i IN {reencoding}"
    assert asked.cutting == f"ffmpeg -ss 0 -t 20 -i IN {cutting}"
