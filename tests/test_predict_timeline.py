"""`cliptide predict --timeline`: table, JSON, CSV, subtitles and an annotated video."""

import csv
import json
import re
import shutil
import subprocess
import sys

import av
import numpy as np
import pytest
from video_files import numbered_frames, write_video

from cliptide.app.annotate import write_annotated
from cliptide.app.caption import Captioner, colour_of
from cliptide.app.inference.prediction import Segment
from cliptide.app.inference.timeline import Timeline
from cliptide.app.inference.timeline_formats import clock, to_srt
from cliptide.configs.errors import VideoError
from cliptide.datasets.synthetic import write_long_video
from cliptide.datasets.video import open_video


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """Six seconds in which two things happen."""
    path = tmp_path_factory.mktemp("long") / "day one.mp4"
    write_long_video(path, ["rise", "close"], repeats=2, side=32, num_frames=20)
    return path


def timeline_of(path, segments, *, duration_s, names=("walk", "wave")):
    times_s = np.linspace(0, duration_s, 20)
    scores = np.tile(np.array([0.8, 0.2], np.float32), (20, 1))
    return Timeline(str(path), "single", names, duration_s, 20, tuple(segments), times_s, scores)


# --- The command ---------------------------------------------------------------------------------


def test_every_output_is_written_in_one_go(cliptide, small_model, long_video, tmp_path):
    names = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv", "srt", "mp4")}
    result = cliptide(
        "predict", small_model, long_video, "--timeline", "--nothing_below", "0.05",
        "--json", names["json"], "--csv", names["csv"], "--srt", names["srt"],
        "--video", names["mp4"],
    )  # fmt: skip
    assert result.code == 0, result.err
    (answer,) = json.loads(names["json"].read_text())
    assert answer["video"] == str(long_video) and answer["segments"]
    assert set(answer["segments"][0]) == {"start_s", "end_s", "label", "score"}
    rows = list(csv.DictReader(names["csv"].read_text().splitlines()))
    assert [float(row["start_s"]) for row in rows] == pytest.approx(
        [segment["start_s"] for segment in answer["segments"]], abs=1e-3
    )
    assert rows[0]["label"] in names["srt"].read_text()
    with open_video(names["mp4"]) as written, open_video(long_video) as given:
        assert written.num_frames == given.num_frames
        np.testing.assert_allclose(written.pts_s, given.pts_s, atol=1e-3)
    assert len(result.out.splitlines()) == len(rows)
    assert all(str(path) in result.err.replace("\n", "") for path in names.values())


def test_srt_alone_asks_for_a_timeline_too(cliptide, small_model, long_video, tmp_path):
    assert cliptide("predict", small_model, long_video, "--srt", tmp_path / "a.srt").code == 0
    assert (tmp_path / "a.srt").is_file()


def test_several_videos_get_a_file_each_in_a_folder_and_a_bad_one_costs_only_itself(
    cliptide, small_model, long_video, tmp_path
):
    for name in ("one/a.mp4", "two/a.mp4"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(long_video, tmp_path / name)
    (tmp_path / "bad.mp4").write_text("no video")
    result = cliptide(
        "predict", small_model, tmp_path / "one", tmp_path / "bad.mp4", tmp_path / "two",
        "--srt", tmp_path / "srt", "--json", tmp_path / "all.json",
    )  # fmt: skip
    assert result.code == 1 and "1 of 3 videos could not be read" in result.err
    assert sorted(path.name for path in (tmp_path / "srt").iterdir()) == ["a-2.srt", "a.srt"]
    answers = json.loads((tmp_path / "all.json").read_text())
    assert [set(answer) == {"video", "error"} for answer in answers] == [False, True, False]


def test_an_mp4_that_cannot_be_made_costs_neither_the_figures_nor_the_other_videos(
    cliptide, small_model, long_video, tmp_path, monkeypatch
):
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(long_video, tmp_path / name)

    def write(source, timeline, out, *, on_progress):
        if source.endswith("a.mp4"):
            raise VideoError("a.mp4: frame 7 cannot be decoded")
        out.touch()

    monkeypatch.setattr("cliptide.app.timelines.write_annotated", write)
    result = cliptide(
        "predict", small_model, tmp_path / "a.mp4", tmp_path / "b.mp4",
        "--json", tmp_path / "all.json", "--video", tmp_path / "seen",
    )  # fmt: skip
    assert result.code == 1 and "frame 7 cannot be decoded" in result.err.replace("\n", " ")
    assert all("segments" in answer for answer in json.loads((tmp_path / "all.json").read_text()))
    assert (tmp_path / "seen" / "b.mp4").is_file()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--least_s", "2"], "--least_s is 2.0.*Add --timeline"),
        (["--timeline", "--eval.clips", "2"], "--eval.clips is 2.*Leave it out"),
        (["--timeline", "--nothing_below", "3"], "nothing_below is 3.0.*0 to 1"),
        (["--timeline", "--srt", "x.srt", "--csv", "x.srt"], "x.srt is to be written twice"),
        (["--srt", "nowhere/x.srt"], "no folder nowhere"),
    ],
)
def test_options_that_do_not_fit_are_refused(cliptide, small_model, long_video, flags, told):
    result = cliptide("predict", small_model, long_video, *flags)
    assert result.code == 2 and re.search(told, result.err.replace("\n", " "))


def test_a_video_is_never_written_over_itself(cliptide, small_model, long_video):
    result = cliptide("predict", small_model, long_video, "--video", long_video, "--overwrite")
    assert result.code == 2 and "is a video that is to be read" in result.err.replace("\n", " ")


def test_a_video_in_which_nothing_is_found_says_how_to_find_more(long_video, capsys):
    from cliptide.app.timelines import _heading, _show

    words = _heading(timeline_of(long_video, [], duration_s=6.0))
    assert "nothing of what the model knows" in words and "--nothing_below" in words
    _show([timeline_of(long_video, [], duration_s=6.0)])  # into a pipe
    piped = capsys.readouterr()
    assert piped.out == "" and piped.err.strip() == words.strip()


# --- Formats -------------------------------------------------------------------------------------


def test_subtitles_of_overlapping_segments_share_the_screen():
    segments = [Segment(0.0, 2.5, "walk", 0.9), Segment(1.0, 3661.25, "wave", 0.8)]
    assert to_srt(segments) == (
        "1\n00:00:00,000 --> 00:00:01,000\nwalk (90 %)\n\n"
        "2\n00:00:01,000 --> 00:00:02,500\nwalk (90 %)\nwave (80 %)\n\n"
        "3\n00:00:02,500 --> 01:01:01,250\nwave (80 %)\n"
    )
    assert to_srt([]) == ""


def test_times_are_told_as_players_tell_them():
    assert [clock(s) for s in (7.46, 59.96, 750.0, 3723.04)] == [
        "0:07.5",
        "1:00.0",
        "12:30.0",
        "1:02:03.0",
    ]


# --- The annotated video -------------------------------------------------------------------------


def test_label_bar_and_strip_are_drawn_and_the_rest_of_the_picture_is_left_alone():
    captioner = Captioner(
        (240, 320), ["walk", "wave"], segments=[Segment(5.0, 10.0, "wave", 0.9)], duration_s=10.0
    )
    picture = np.full((240, 320, 3), 100, np.uint8)
    captioner.write(picture, [("wave", 0.5)], time_s=2.5)
    assert (picture[:190] == 100).all()
    assert (picture[-1, 200] == colour_of(1)).all() and (picture[-1, 40] != colour_of(1)).any()
    assert (picture[-1, 80] == 255).all()  # the playhead, a quarter along
    row = picture[240 - 3 - 12]
    coloured = (row == colour_of(1)).all(axis=1).sum()
    assert coloured == pytest.approx(320 // 4 / 2, abs=6)  # half of a bar a quarter wide


def test_sound_is_kept_beside_the_picture(tmp_path):
    source = tmp_path / "talk.mp4"
    write_video(source, numbered_frames(50), fps=25, audio=True)
    out = tmp_path / "out.mp4"
    write_annotated(source, timeline_of(source, [Segment(0, 2, "walk", 0.8)], duration_s=2.0), out)
    with av.open(str(source)) as given, av.open(str(out)) as written:
        assert (
            written.streams.audio[0].codec_context.name == given.streams.audio[0].codec_context.name
        )
        heard = [sum(1 for p in c.demux(audio=0) if p.size) for c in (given, written)]
        assert abs(heard[0] - heard[1]) <= 1
        starts = [float((s.start_time or 0) * s.time_base) for s in written.streams]
        assert max(starts) - min(starts) < 0.03


def write_talk(path, *, codec, rate, layout="mono"):
    """Two seconds of a tone beside pictures."""
    with av.open(str(path), "w") as out:
        picture = out.add_stream("libx264", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=rate, layout=layout)
        for frame in numbered_frames(20):
            out.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(picture.encode(None))
        for start in range(0, 2 * rate, rate // 10):
            wave = (np.sin(np.arange(start, start + rate // 10) / 8) * 8000).astype(np.int16)[None]
            heard = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            heard.sample_rate, heard.pts = rate, start
            out.mux(sound.encode(heard))
        out.mux(sound.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "kept"),
    [
        ("talk.mkv", "pcm_s16le", 16_000, "aac"),
        ("talk.mkv", "pcm_s16le", 11_130, "aac"),  # no rate of AAC
        ("talk.avi", "mp2", 44_100, "aac"),  # stamps by whole packets, no multiple of an AAC frame
        ("talk.ts", "aac", 44_100, "aac"),
        ("talk.avi", "ac3", 44_100, "ac3"),
        ("talk.mkv", "flac", 16_000, "flac"),
    ],
)
def test_sound_is_as_it_was_or_aac_where_an_mp4_cannot_hold_it(tmp_path, name, codec, rate, kept):
    source, written = tmp_path / name, tmp_path / "out.mp4"
    write_talk(source, codec=codec, rate=rate)
    write_annotated(source, timeline_of(source, [], duration_s=2.0), written)
    with av.open(str(written)) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.codec.canonical_name == kept
        samples = sum(frame.samples for frame in container.decode(sound))
        assert samples / sound.rate == pytest.approx(2.0, abs=0.15)


def test_a_clip_of_ucf101_keeps_its_mp3(shared_dir, tmp_path):
    source = shared_dir / "data" / "hard" / "c3d__v_ApplyEyeMakeup_g01_c01.avi"
    written = tmp_path / "out.mp4"
    write_annotated(source, timeline_of(source, [], duration_s=6.56), written)
    with av.open(str(source)) as given, av.open(str(written)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == "mp3"
        heard = [sum(1 for p in c.demux(audio=0) if p.size) for c in (given, container)]
        assert abs(heard[0] - heard[1]) <= 1


@pytest.mark.parametrize("size", [(2, 2), (8, 8), (16, 20)])
def test_pictures_smaller_than_a_line_show_of_it_what_fits(size):
    segments = [Segment(0.0, 1.0, "walk", 0.9)]
    captioner = Captioner(size, ["walk"], segments=segments, duration_s=1.0)
    picture = np.full((*size, 3), 100, np.uint8)
    captioner.write(picture, [("walk", 0.9)], time_s=0.5)
    assert (picture[-1] == colour_of(0)).all(axis=1).any() or size == (2, 2)


def test_odd_sides_and_uneven_times_are_kept_as_near_as_h264_can(tmp_path):
    source = tmp_path / "odd.mkv"
    frames = numbered_frames(10, 49, 65)
    write_video(source, frames, pix_fmt="yuv444p", pts=[0, 1, 3, 4, 9, 10, 20, 21, 22, 40])
    out = tmp_path / "out.mp4"
    with open_video(source) as given:
        times_s, duration_s = given.pts_s.copy(), given.duration_s
    write_annotated(source, timeline_of(source, [], duration_s=duration_s), out)
    with open_video(out) as written:
        assert (written.height, written.width) == (48, 64)
        np.testing.assert_allclose(written.pts_s, times_s, atol=2e-3)


def test_a_full_disk_ends_clearly_and_what_was_written_can_be_played(tmp_path):
    source = tmp_path / "noise.mp4"
    rng = np.random.default_rng(0)
    write_video(source, rng.integers(0, 255, (200, 96, 128, 3), dtype=np.uint8), fps=25)
    out = tmp_path / "out.mp4"
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
import numpy as np
from cliptide.app.annotate import write_annotated
from cliptide.app.inference.timeline import Timeline
from cliptide.configs.errors import CliptideError
timeline = Timeline({str(source)!r}, "single", ("a",), 8.0, 1, (), np.zeros(1), np.ones((1, 1)))
try:
    write_annotated({str(source)!r}, timeline, __import__("pathlib").Path({str(out)!r}))
except CliptideError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"disk is full or fails.*can be played.*Make room", run.stdout), run.stderr
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 25
