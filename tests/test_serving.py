"""`cliptide serve`: what is asked is answered, by many at once too, and an end is orderly."""

import asyncio
import json
import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from serving_process import answer_on, form, is_gone, serving, wait_for, write_model

from cliptide.app import load
from cliptide.app.serving.served import named_paths
from cliptide.configs.errors import InputError

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="looks at processes as POSIX has them"
)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("first") / "model.safetensors")


@pytest.fixture(scope="module")
def server(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, tiny_model, f"again={tiny_model}", "--workers", 2) as running:
        yield running


@pytest.fixture(scope="module")
def recognizer(tiny_model):
    return load(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def clips(small_data):
    return sorted(small_data.rglob("*.mp4"))


def test_a_prediction_is_that_of_the_command_line(server, recognizer, clips, tiny_model):
    answer = server.predict(clips[0])
    expected = recognizer.predict(clips[0]).to_json()
    assert answer.status == 200
    assert answer.body.pop("model") == tiny_model.parent.name
    assert answer.body["video"] == clips[0].name
    assert answer.body["scores"] == pytest.approx(expected["scores"], abs=1e-6)
    assert answer.body["label"] == expected["label"]
    assert answer.body.keys() == expected.keys()


def test_a_timeline_is_that_of_the_command_line(server, recognizer, clips):
    answer = server.predict(clips[0], timeline="true", model="again")
    expected = recognizer.timeline(clips[0]).to_json()
    assert answer.status == 200
    assert answer.body.pop("model") == "again"
    assert answer.body.keys() == expected.keys()
    assert answer.body["curve"] == expected["curve"]
    assert len(answer.body["segments"]) == len(expected["segments"])
    for segment, wanted in zip(answer.body["segments"], expected["segments"], strict=True):
        assert segment.pop("label") == wanted.pop("label")
        assert segment == pytest.approx(wanted)


def test_many_at_once_are_answered_as_each_alone(server, recognizer, clips):
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(server.predict, clips[:24]))
    for clip, answer in zip(clips, answers, strict=False):
        assert answer.status == 200
        assert answer.body["video"] == clip.name
        expected = recognizer.predict(clip).scores
        assert answer.body["scores"] == pytest.approx(expected, abs=1e-5)
    batches = re.search(
        r'batch_clips_count{model="first\d*"} (\S+)', server.get("/metrics").body.decode()
    )
    assert float(batches[1]) < 24 + 3


def test_models_limits_and_state_are_told(server, recognizer, tiny_model):
    answer = server.get("/v1/models").body
    first, again = answer["models"]
    assert first["name"] == tiny_model.parent.name
    assert first["default"] and not again["default"]
    assert first["labels"] == list(recognizer.class_names)
    assert first["can_stream"] and first["parameters"] > 1000
    assert first["takes"] == "video"
    assert answer["limits"]["upload_bytes"] == 200 * 2**20
    assert answer["needs_key"] is False
    assert server.get("/healthz").body == {"status": "ok"}
    assert server.get("/readyz").status == 200


def test_the_page_and_the_api_page_ask_nobody_else(server):
    for path in ("/", "/docs"):
        answer = server.get(path)
        assert answer.status == 200
        assert "default-src" in answer.headers["Content-Security-Policy"]
        assert not re.search(rb"(src|href)=.?(https?:)?//", answer.body)
    assert b"/v1/predict" in server.get("/docs").body
    icon = server.get("/static/icon.svg")
    assert icon.headers["Content-Type"] == "image/svg+xml"
    assert server.get("/static/icon.svg", **{"If-None-Match": icon.headers["ETag"]}).status == 304
    for name in ("../pages.py", "..%2fpages.py", "%2e%2e/pages.py", "nix.js", "."):
        assert server.get(f"/static/{name}").status == 404


def test_a_name_is_shown_and_never_a_path(server, clips):
    data = clips[0].read_bytes()
    names = {
        "../../etc/passwd": "passwd",
        "..\\..\\x.mp4": "x.mp4",
        "/": "upload",
        "a\x00\x1b[31mb.mp4": "a[31mb.mp4",
        "ü" * 300: "ü" * 200,
    }
    for name, shown in names.items():
        answer = server.post(form([("file", data, name)]))
        assert (answer.status, answer.body.get("video")) == (200, shown)
    assert server.temporary_files() == []


def test_models_are_called_by_their_run_folder_or_as_one_says():
    assert list(named_paths(["runs/x-1/model.safetensors", "b.onnx", "c=d/e"])) == ["x-1", "b", "c"]
    with pytest.raises(InputError, match=r"Two models are called 'b'.*Give one another name"):
        named_paths(["b.onnx", "b=c.onnx"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "port is 70000. Give 1 to 65535, or 0"),
        (["--queue", "0"], "queue is 0. Give a number above 0"),
        (["--key", "two words"], "The API key is empty or has spaces"),
        (["--allow_url", "ftp://x/"], "'ftp://x/' is no beginning of an address. Give one such as"),
        (["--host", "256.1.1.1"], "--host 256.1.1.1"),
    ],
)
def test_wrong_options_are_told_with_the_mend(cliptide, tiny_model, words, message):
    result = cliptide("serve", tiny_model, *words)
    assert result.code == 2
    assert message in result.err


def test_a_taken_port_is_told(cliptide, tiny_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cliptide("serve", tiny_model, "--port", taken.getsockname()[1])
    assert result.code == 2
    assert "Use another --port, or 0 for a free one" in result.err


def test_a_stop_finishes_what_was_taken_and_leaves_nothing(tiny_model, clips, tmp_path):
    from websockets.asyncio.client import connect

    data = form([("file", clips[0].read_bytes(), "a.mp4")])
    with serving(tmp_path, tiny_model, "--workers", 1) as server:
        workers = server.workers()
        assert len(workers) == 1
        head = (
            f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
            "Content-Type: multipart/form-data; boundary=cliptide-test-boundary\r\n\r\n"
        )
        upload = server.raw(head.encode() + data[:500])
        wait_for(lambda: server.in_work() == 1)

        async def stream_until_closed():
            async with connect(f"ws://{server.host}:{server.port}/v1/stream") as socket:
                assert json.loads(await socket.recv())["type"] == "ready"
                server.process.send_signal(signal.SIGTERM)
                await socket.wait_closed()
                return socket.close_code

        assert asyncio.run(stream_until_closed()) == 1001
        with pytest.raises(OSError):
            server.raw(b"GET / HTTP/1.1\r\n\r\n")
        upload.sendall(data[500:])
        answer = answer_on(upload)
        assert (answer.status, answer.body["video"]) == (200, "a.mp4")
        assert server.process.wait(30) == 0
        assert wait_for(lambda: all(map(is_gone, workers)))
        assert list(server.folder.iterdir()) == []


def test_what_a_stop_cannot_wait_for_is_told(tiny_model, clips, tmp_path):
    with serving(tmp_path, tiny_model, "--workers", 1, "--grace_s", 1) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        data = form([("file", clips[0].read_bytes(), "a.mp4")])
        head = (
            f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n"
            "Content-Type: multipart/form-data; boundary=cliptide-test-boundary\r\n\r\n"
        )
        uploads = [server.raw(head.encode() + data), server.raw(head.encode() + data[:500])]
        wait_for(lambda: server.in_work() == 2)
        server.process.send_signal(signal.SIGTERM)
        for answer in map(answer_on, uploads):
            assert (answer.status, answer.body["error"]["code"]) == (503, "stopping")
        assert server.process.wait(30) == 0
        assert wait_for(lambda: is_gone(worker))
        assert "Traceback" not in server.log.read_text()


def test_a_killed_server_leaves_no_upload_and_no_worker(tiny_model, tmp_path):
    with serving(tmp_path, tiny_model, "--workers", 2) as server:
        workers = server.workers()
        upload = server.begun_upload()
        wait_for(lambda: server.temporary_files())
        server.stop(signal.SIGKILL)
        upload.close()
        assert wait_for(lambda: all(map(is_gone, workers)))
        # Python's own folder with a socket may stay.
        assert [path for path in server.folder.iterdir() if "pymp-" not in path.name] == []
