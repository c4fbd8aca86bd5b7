"""Whatever a client sends: an error as JSON, nothing on disk, and the next request is served."""

import contextlib
import http.server
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import zlib

import pytest
from serving_process import BOUNDARY, answer_on, form, is_gone, serving, wait_for, write_model
from video_files import numbered_frames, write_video, write_wav

from cliptide.app.serving.fetching import _allowed, _is_public, _parsed
from cliptide.configs.streams import Streams

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

KEY = "a-secret"
SILENCE_S = 1.5
TIME_S = 4.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", numbered_frames(24))


@pytest.fixture(scope="module")
def site(clip):
    """A web server with the clip at /clips/, redirects and endless bodies; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/clips/away":
                self.send_response(302)
                self.send_header("Location", "/clips/clip.mp4")
                self.end_headers()
            elif self.path == "/clips/endless":
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):  # the other side has had enough
                    for _ in range(2**10):
                        self.wfile.write(bytes(2**16))
            elif self.path == "/clips/short":
                self.send_response(200)
                self.send_header("Content-Length", str(clip.stat().st_size + 1000))
                self.end_headers()
                self.wfile.write(clip.read_bytes())
            elif self.path == "/clips/clip.mp4":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(clip.read_bytes())
            else:
                self.send_error(404)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory, site):
    folder = tmp_path_factory.mktemp("strict")
    model = write_model(folder / "model.safetensors")
    of_sound = write_model(folder / "sound", streams=Streams(names=("audio",), samples="audio"))
    words = {
        "max_upload_mb": 1,
        "max_duration_s": 5,
        "max_pixels": 320 * 240,
        "max_time_s": TIME_S,
        "max_silence_s": SILENCE_S,
        "max_memory_mb": 400,
        "queue": 3,
        "workers": 1,
        "allow_url": f"http://127.0.0.1:{site}/clips/",
    }
    flags = [f"--{name}={value}" for name, value in words.items()]
    with serving(
        folder, f"tiny={model}", f"sound={of_sound}", *flags, env={"CLIPTIDE_API_KEY": KEY}
    ) as running:
        plain = running.request

        def with_key(method, path, body=None, headers=None):
            return plain(method, path, body, {"X-API-Key": KEY} | (headers or {}))

        running.request = with_key
        yield running


@pytest.fixture(autouse=True)
def served_afterwards(request):
    """After each test with a server: nothing is left, and the next request is served."""
    yield
    if "server" not in request.fixturenames:
        return
    server, clip = request.getfixturevalue("server"), request.getfixturevalue("clip")
    wait_for(lambda: server.in_work() == 0)
    assert server.temporary_files() == []
    assert server.predict(clip).status == 200


def png_bomb(side):
    """A PNG of side x side pixels, a few hundred bytes for each 4 MB of them."""
    row = b"\0" + bytes(side)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_what_is_no_video_is_told(server, clip, tmp_path):
    large = write_video(tmp_path / "large.mp4", numbered_frames(4, height=480, width=640))
    long = write_video(tmp_path / "long.mp4", numbered_frames(60), fps=10)
    whole = clip.read_bytes()
    cases = {
        "text": (b"no video at all", "not_readable"),
        "nothing": (b"", "empty_file"),
        "zeros": (bytes(5000), "not_readable"),
        "json": (b'{"video": 1}', "not_readable"),
        "half a video": (whole[: len(whole) // 2], "not_readable"),
        "playlist": (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not_readable"),
        "bomb": (png_bomb(9000), "too_many_pixels"),
        "large": (large.read_bytes(), "too_many_pixels"),
        "long": (long.read_bytes(), "too_long"),
    }
    for name, (data, code) in cases.items():
        for timeline in ("false", "true"):
            answer = server.post(form([("file", data, f"{name}.mp4")], timeline=timeline))
            assert (name, answer.status, answer.body["error"]["code"]) == (name, 422, code)
            message = answer.body["error"]["message"]
            assert message.startswith(f"{name}.mp4: ")
            assert "/proc" not in message


def test_a_sound_that_is_too_long_is_told(server, tmp_path):
    right, long = (write_wav(tmp_path / f"{seconds}.wav", seconds) for seconds in (5, 60))
    for timeline in ("false", "true"):
        assert server.predict(right, model="sound", timeline=timeline).status == 200
        answer = server.predict(long, model="sound", timeline=timeline)
        assert (answer.status, answer.body["error"]["code"]) == (422, "too_long")
        message = answer.body["error"]["message"]
        assert message.startswith("60.wav: its sound lasts 60.0 s or more, and this server takes 5")
        assert message.endswith("Send a part: ffmpeg -ss 0 -t 5 -i IN -vn -c copy OUT.mka")


def test_what_is_no_form_is_told(server, clip):
    video = ("file", clip.read_bytes(), "a.mp4")
    whole = form([video])
    cases = [
        (b"{}", {"content_type": "application/json"}, 415, "not_multipart"),
        (b"", {"content_type": ""}, 415, "not_multipart"),
        (b"file=x", {"content_type": "application/x-www-form-urlencoded"}, 415, "not_multipart"),
        (whole, {"content_type": "multipart/form-data"}, 400, "bad_form"),
        (whole, {"content_type": "multipart/form-data; boundary=other"}, 400, "bad_form"),
        (whole, {"headers": {"Content-Encoding": "gzip"}}, 415, "encoded"),
        (whole[:-30], {}, 400, "bad_form"),
        (b"", {}, 400, "bad_form"),
        (b"\0" * 1000, {}, 400, "bad_form"),
        (form([]), {}, 422, "no_file"),
        (form([video, video]), {}, 422, "two_files"),
        (form([video], modle="tiny"), {}, 422, "unknown_field"),
        (form([video], model="tinny"), {}, 404, "no_such_model"),
        (form([video], timeline="maybe"), {}, 422, "bad_field"),
        (form([video], model="x" * 5000), {}, 422, "field_too_long"),
        (form([video], url="http://x/"), {}, 422, "no_file"),
        (form([("file", b"x" * (2**20 + 1), "a.mp4")]), {}, 413, "too_large"),
    ]
    for body, how, status, code in cases:
        answer = server.post(body, **how)
        assert (answer.status, answer.body["error"]["code"]) == (status, code)
        assert answer.body["error"]["message"].endswith(".") or "curl" in str(answer.body)
    assert "Use: model." in server.post(form([video], modle="x")).body["error"]["message"]
    assert server.request("PUT", "/v1/predict", b"x").status == 405
    assert server.get("/v1/nothing").body["error"]["code"] == "not_found"


def test_a_wrong_key_is_refused_and_never_written(server, clip):
    for headers in (
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
    ):
        for path in ("/v1/models", "/metrics", "/docs", "/openapi.json"):
            assert server.request("GET", path, headers=headers).status == 401
        answer = server.predict(clip, headers=headers)
        assert (answer.status, answer.body["error"]["code"]) == (401, "wrong_key")
        assert server.request("GET", "/readyz", headers=headers).status == 200
    assert server.predict(clip, headers={"Authorization": f"Bearer {KEY}"}).status == 200
    server.get(f"/v1/models?key={KEY}")
    assert KEY not in server.log.read_text()


def test_an_endless_upload_is_ended(server):
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nTransfer-Encoding: chunked"
        f"\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    begin = form([("file", b"", "a.mp4")]).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    connection = server.raw(head.encode() + b"%x\r\n%s\r\n" % (len(begin), begin))
    began = time.monotonic()
    connection.settimeout(0.001)
    while time.monotonic() < began + 20:
        try:
            connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
        except OSError:
            break  # nobody reads it any more
        if select.select([connection], [], [], 0)[0]:
            break  # the answer is there
    connection.settimeout(20)
    answer = answer_on(connection)
    assert (answer.status, answer.body["error"]["code"]) == (413, "too_large")
    assert time.monotonic() - began < 15


def test_a_length_beyond_the_limit_is_refused_before_it_is_read(server):
    with server.begun_upload(10**9, key=KEY) as connection:
        assert answer_on(connection).status == 413


def test_a_client_that_falls_silent_is_given_up(server):
    began = time.monotonic()
    answer = answer_on(server.begun_upload(key=KEY))
    assert (answer.status, answer.body["error"]["code"]) == (408, "upload_too_slow")
    assert SILENCE_S <= time.monotonic() - began < SILENCE_S + 5


def test_clients_that_die_in_an_upload_leave_nothing(server):
    before = server.descriptors()
    for number in range(20):
        connection = server.begun_upload(key=KEY)
        if number % 2:  # a reset in place of an orderly end
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    wait_for(lambda: server.in_work() == 0)
    wait_for(lambda: server.descriptors() <= before)


def test_one_more_than_the_queue_holds_is_sent_away_with_a_time(server, clip):
    held = [server.begun_upload(key=KEY) for _ in range(3)]
    wait_for(lambda: server.in_work() == 3)
    answer = server.predict(clip)
    assert (answer.status, answer.body["error"]["code"]) == (429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 120
    for connection in held:
        connection.close()


def test_a_worker_that_hangs_or_dies_is_replaced(server, clip):
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    began = time.monotonic()
    answer = server.predict(clip)
    assert (answer.status, answer.body["error"]["code"]) == (422, "too_slow")
    assert time.monotonic() - began < TIME_S + 5
    assert wait_for(lambda: is_gone(worker))

    assert server.predict(clip).status == 200
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: is_gone(worker))
    assert server.predict(clip).status == 200

    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)  # it dies in the middle of a job
    threading.Timer(1.0, os.kill, (worker, signal.SIGKILL)).start()
    answer = server.predict(clip)
    assert answer.status == 422
    assert "died on it (SIGKILL" in answer.body["error"]["message"]


def test_a_client_that_leaves_frees_its_worker(server, clip):
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    data = form([("file", clip.read_bytes(), "a.mp4")])
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: {len(data)}"
        f"\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    connection = server.raw(head.encode() + data)
    time.sleep(0.5)
    connection.close()
    assert wait_for(lambda: is_gone(worker), seconds=TIME_S - 1)


def test_addresses_off_the_list_are_not_fetched(server, site):
    base = f"http://127.0.0.1:{site}"
    good = server.post(form([], url=f"{base}/clips/clip.mp4"))
    assert (good.status, good.body["video"]) == (200, "clip.mp4")
    cases = {
        f"{base}/other.mp4": "url_not_allowed",
        f"{base}/clips/../other.mp4": "url_not_allowed",
        f"{base}/clips/%2e%2e/other.mp4": "url_not_allowed",
        f"{base}/clips/..%5cother.mp4": "url_not_allowed",
        f"http://127.0.0.1:{site}@example.org/clips/": "url_not_allowed",
        f"http://localhost:{site}/clips/clip.mp4": "url_not_allowed",
        "file:///etc/passwd": "url_not_allowed",
        "nonsense": "url_not_allowed",
        f"{base}/clips/away": "url_failed",
        f"{base}/clips/missing": "url_failed",
        f"{base}/clips/endless": "too_large",
        f"{base}/clips/short": "url_failed",  # less came than was announced
    }
    for url, code in cases.items():
        answer = server.post(form([], url=url))
        assert (url, answer.body["error"]["code"]) == (url, code)


def test_a_prefix_means_whole_folders_and_one_host():
    allowed = ["https://example.org/clips"]
    for url, expected in {
        "https://example.org/clips/a.mp4": True,
        "https://EXAMPLE.org:443/clips/a.mp4": True,
        "https://example.org/clips": True,
        "https://example.org/clipsandmore/a.mp4": False,
        "https://example.org.evil.net/clips/a.mp4": False,
        "http://example.org/clips/a.mp4": False,
        "https://example.org:444/clips/a.mp4": False,
    }.items():
        place = _parsed(url)
        assert place is not None
        assert _allowed(place, allowed) == expected
    for url in ("https://a@b/", "https://x/a b", "https://x/a\\b", "https://x:y/", "//x/", "x"):
        assert _parsed(url) is None


def test_private_addresses_are_known():
    for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "0.0.0.0"):
        assert not _is_public(address)
    assert not _is_public("::ffff:192.168.0.1")
    assert _is_public("93.184.215.14") and _is_public("2606:2800:21f:cb07::1")
