"""Live sources: the newest frame wins, what is lost is opened again, what ends ends clearly."""

import itertools
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from engines import SIZE, BrightnessEngine
from video_files import numbered_frames, write_video

from cliptide.app.inference.recognise import ActionRecognizer
from cliptide.app.inference.watching import Watcher
from cliptide.configs.errors import InputError, VideoError
from cliptide.datasets import live
from cliptide.datasets.live import Arrival, FrameFitter, LiveSource, is_live, without_password
from cliptide.datasets.reading import frames_at_rate
from cliptide.datasets.video import open_video

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two seconds of numbered frames, 25 a second, in a transport stream."""
    path = tmp_path_factory.mktemp("live") / "film.ts"
    write_video(path, numbered_frames(50, HEIGHT, WIDTH), fps=25)
    return path


class Broadcast:
    """A server that sends a transport stream at its own speed, again and again, and can fail."""

    def __init__(self, film: Path) -> None:
        self.film, self.up, self.stall = film, True, threading.Event()
        packets = film.read_bytes()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if not owner.up:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                size = 188 * max(1, len(packets) // 188 // 40)
                try:
                    for start in itertools.count(0, size):
                        part = start % len(packets)
                        self.wfile.write(packets[part : part + size])
                        self.wfile.flush()
                        time.sleep(0.05)
                        while owner.stall.is_set():
                            time.sleep(0.05)
                        if not owner.up:
                            return
                except OSError:
                    return

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/live.ts"

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.up = False
            self.stall.clear()
            self.server.shutdown()
            self.server.server_close()


@pytest.fixture
def quick(monkeypatch):
    """Less patience than one has in life."""
    monkeypatch.setattr(live, "READ_TIMEOUT_S", 1.0)
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.1)


def source_of(url, rate_fps=10.0, **keys):
    return LiveSource(url, rate_fps=rate_fps, size=(HEIGHT, WIDTH), fit="resize", **keys)


# --- What is live --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("0", True),
        ("rtsp://host/x", True),
        ("HTTP://h/x", True),
        ("a.mp4", False),
        ("C:/a.mp4", False),
    ],
)
def test_numbers_and_urls_are_live_and_files_are_not(source, expected):
    assert is_live(source) is expected


@pytest.mark.parametrize("password", ["secret", "s@cr@t"])
def test_a_password_in_a_url_is_not_shown(password):
    assert without_password(f"rtsp://me:{password}@cam/1@2") == "rtsp://cam/1@2"


def test_a_camera_that_is_not_there_is_said_with_what_to_give():
    with pytest.raises(InputError, match=r"no camera 77.*rtsp://"):
        source_of("77")


def test_a_stream_that_is_not_there_is_said_without_its_password():
    with pytest.raises(VideoError, match=r"rtsp://127\.0\.0\.1:9/x cannot be opened") as caught:
        source_of("rtsp://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)


def test_frames_of_a_camera_are_fitted_as_those_of_a_file_are(film):
    with open_video(film) as video:
        expected = next(frames_at_rate(video, rate_fps=5, size=(20, 20), fit="letterbox")).picture
    with av.open(str(film)) as container:
        frame = next(container.decode(video=0))
        fitted = FrameFitter((20, 20), "letterbox")(frame)
    np.testing.assert_array_equal(fitted, expected)


# --- A stream ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_frames_come_at_the_models_rate_whatever_the_streams_is(film):
    with Broadcast(film).running() as broadcast:
        arrivals = list(itertools.islice(source_of(broadcast.url).arrivals(), 8))
    gaps = np.diff([arrival.time_s for arrival in arrivals])
    assert np.median(gaps) == pytest.approx(0.1, abs=0.021)
    assert [arrival.begins for arrival in arrivals[:2]] == [True, False]


@pytest.mark.usefixtures("quick")
def test_who_is_slow_gets_the_newest_frame_and_the_count_of_those_missed(film):
    with Broadcast(film).running() as broadcast:
        arrivals = source_of(broadcast.url, rate_fps=25).arrivals()
        first = next(arrivals)
        time.sleep(1.0)
        second = next(arrivals)
        arrivals.close()
    assert second.dropped >= 5
    assert second.time_s - first.time_s > 0.4
    assert time.monotonic() - second.arrived_s < 1.5


@pytest.mark.usefixtures("quick")
def test_a_stream_that_breaks_off_is_opened_again_and_begins_anew(film):
    said = []
    broadcast = Broadcast(film)
    with broadcast.running():
        arrivals = source_of(broadcast.url, on_status=said.append).arrivals()
        before = next(arrivals)
        broadcast.stall.set()  # silent, but not closed: a cable that was pulled
        threading.Timer(2.0, broadcast.stall.clear).start()
        later = next(a for a in arrivals if a.begins)
        arrivals.close()
    assert later.time_s > before.time_s
    assert "is lost" in said[0] and said[-1].endswith("is back")


@pytest.mark.usefixtures("quick")
def test_a_stream_that_stays_away_ends_with_what_to_do(film):
    broadcast = Broadcast(film)
    with broadcast.running():
        arrivals = source_of(broadcast.url, reconnect_s=1.0).arrivals()
        next(arrivals)
        broadcast.up = False
        with pytest.raises(VideoError, match=r"did not come back within 1 s.*--reconnect_s"):
            list(arrivals)


@pytest.mark.usefixtures("quick")
def test_a_rate_slower_than_the_patience_with_a_source_is_no_loss(film):
    said = []
    with Broadcast(film).running() as broadcast:
        arrivals = source_of(broadcast.url, rate_fps=0.5, on_status=said.append).arrivals()
        first, second = next(arrivals), next(arrivals)
        arrivals.close()
    assert second.time_s - first.time_s == pytest.approx(2.0, abs=0.2)
    assert said == []


class Mute:
    """A device that opens, and then gives nothing."""

    is_endless = True

    def __init__(self, url):
        pass

    def frames(self):
        return iter(())

    def close(self):
        pass


@pytest.mark.usefixtures("quick")
def test_a_source_that_opens_again_but_gives_no_picture_is_not_back(monkeypatch):
    monkeypatch.setattr(live, "NetworkStream", Mute)
    said = []
    with pytest.raises(VideoError, match="did not come back within 1 s"):
        list(source_of("udp://x", reconnect_s=1.0, on_status=said.append).arrivals())
    assert not any(text.endswith("is back") for text in said)
    assert len(said) <= 5  # each wait twice as long as the one before


# --- A recording behind a URL --------------------------------------------------------------------


def serve(content, *, cut=0):
    """Serve bytes as a file; all but the last `cut` of those that were promised."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - cut])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("webm", "libvpx-vp9")])
def test_a_recording_behind_a_url_is_taken_at_its_own_speed_and_none_dropped(
    tmp_path, suffix, codec
):
    path = tmp_path / f"film.{suffix}"
    write_video(path, numbered_frames(50, HEIGHT, WIDTH), fps=25, codec=codec)
    server = serve(path.read_bytes())
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/film.{suffix}"
        arrivals = list(source_of(url).arrivals())
    finally:
        server.shutdown()
        server.server_close()
    assert [a.time_s for a in arrivals] == pytest.approx(np.arange(20) / 10, abs=0.021)
    assert arrivals[-1].dropped == 0


def test_a_recording_that_breaks_off_does_not_pass_for_its_end(tmp_path):
    path = tmp_path / "film.mkv"
    write_video(path, numbered_frames(50, HEIGHT, WIDTH), fps=25)
    content = path.read_bytes()
    server = serve(content, cut=len(content) // 2)
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/film.mkv"
        with pytest.raises(VideoError, match=r"broke off at \d.*Try again"):
            list(source_of(url).arrivals())
    finally:
        server.shutdown()
        server.server_close()


# --- Files, and the recognizer -------------------------------------------------------------------


@pytest.fixture
def recognizer():
    return ActionRecognizer(BrightnessEngine(info={"size": SIZE}))


def test_every_due_frame_of_a_file_is_taken_once_and_none_is_dropped(film, recognizer):
    updates = list(recognizer.watch(film))
    assert len(updates) == 20
    assert updates[-1].dropped == 0 and updates[0].begins
    assert [update.time_s for update in updates] == pytest.approx(np.arange(20) / 10, abs=0.021)
    assert updates[0].label in recognizer.class_names
    written = json.loads(json.dumps(updates[3].to_json()))
    assert set(written) >= {"time_s", "label", "score", "scores", "labels", "dropped", "lag_s"}


def test_a_file_in_real_time_takes_as_long_as_it_lasts_and_the_newest_frame_wins(film, recognizer):
    began, times = time.monotonic(), []
    for update in recognizer.watch(str(film), realtime=True):
        times.append((update.time_s, update.dropped))
        time.sleep(0.25)
    assert time.monotonic() - began > 1.8
    assert times[-1][1] > 5
    assert len(times) + times[-1][1] == 20


def test_labels_hold_with_hysteresis_and_changes_are_told(tmp_path, recognizer):
    levels = [0] * 20 + [255] * 20
    frames = np.stack([np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in levels])
    path = tmp_path / "steps.mp4"
    write_video(path, frames, fps=10)
    updates = list(recognizer.watch(path))
    changes = [(update.time_s, update.labels) for update in updates if update.changed]
    assert changes[0][1] == ("a",)
    assert changes[-1][1] == ("c",) and changes[-1][0] == pytest.approx(2.6, abs=0.5)
    assert len(changes) <= 5


def test_after_a_break_no_label_is_held_from_before(recognizer):
    watcher = Watcher(recognizer.engine, nothing_below=0.9)
    held = []
    # The darkest is surely a; the other is too, but not enough to begin it.
    for level, begins in ((0, True), (60, False), (60, True)):
        watcher._scorer.restart()  # what was seen counts for nothing here
        picture = np.full((*SIZE, 3), level, np.uint8)
        update = watcher.push(Arrival(0.0, 0.0, picture, begins=begins, dropped=0))
        held.append((update.labels, update.changed))
    assert held == [(("a",), True), (("a",), False), ((), True)]
