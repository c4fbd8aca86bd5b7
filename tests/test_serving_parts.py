"""Parts of the server by themselves: processes that decode, connections, files of uploads."""

import asyncio
import json
from pathlib import Path

import h11
import numpy as np
import pytest
import uvicorn
from uvicorn.server import ServerState
from video_files import numbered_frames, read_numbers, write_video

from cliptide.app.serving import server, uploads
from cliptide.app.serving.decoding import ClipsJob, FramesJob
from cliptide.app.serving.errors import ApiError
from cliptide.app.serving.pool import DecoderPool
from cliptide.configs.streams import Streams
from cliptide.datasets.reading import Views
from cliptide.datasets.sampling import SamplingRule
from cliptide.datasets.streams.pictures import PictureStream
from cliptide.datasets.streams.playing import playing
from cliptide.datasets.video import open_video


def test_a_worker_whose_answers_were_not_all_taken_is_lent_to_nobody(tmp_path):
    path = str(write_video(tmp_path / "clip.mp4", numbered_frames(64)))
    facts = {"path": path, "size": (16, 16), "fit": "resize", "streams": Streams()}
    facts |= {"most_pixels": 10**6, "most_s": 60.0}
    along = FramesJob(name="a", **facts, rate_fps=30.0)
    clips = ClipsJob(name="b", **facts, rule=SamplingRule("uniform", frames=4), num_views=1)

    def fails(answers):
        next(answers)
        raise ValueError("The network fails.")

    async def run():
        pool = DecoderPool(1, memory_mb=500, on_death=lambda cause: None)
        await pool.start()
        try:
            with pytest.raises(ValueError, match="The network fails"):
                await pool.read(along, fails, file=None, time_s=30.0)
            return await pool.read(clips, list, file=None, time_s=30.0)
        finally:
            await pool.close()

    (views,) = asyncio.run(run())
    assert isinstance(views, Views)


def test_a_video_that_is_open_is_gone_through_and_stays_open(tmp_path):
    path = write_video(tmp_path / "clip.mp4", numbered_frames(12))
    streams = [PictureStream(size=(48, 64))]
    with open_video(path) as video:
        for _ in range(2):
            with playing(path, streams, rate_fps=25, video=video) as sample:
                pictures = np.stack([step.picture for step in sample.steps])
                assert sample.duration_s == video.duration_s
            assert read_numbers(pictures) == list(range(12))


def talk(*parts, monkeypatch):
    """What a connection answers to bytes with a pause behind each, until it is closed."""
    monkeypatch.setattr(server, "HEAD_WITHIN_S", 0.5)

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def run():
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=30)
        state = ServerState()
        listening = await asyncio.get_running_loop().create_server(
            lambda: server._BoundedHttp(config, state, {}), "127.0.0.1", 0
        )
        async with listening:
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.1)
            said = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return said

    return asyncio.run(run())


def test_a_head_that_does_not_end_ends_the_connection_also_behind_others(monkeypatch):
    whole, begun = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHo"
    assert talk(begun, monkeypatch=monkeypatch) == b""
    assert talk(whole, whole, begun, monkeypatch=monkeypatch).count(b" 204 ") == 2


def test_what_is_no_http_is_told_as_json(monkeypatch):
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.receive_data(talk(b"\x16\x03 rubbish\r\n\r\n", monkeypatch=monkeypatch))
    head, body = client.next_event(), client.next_event()
    assert head.status_code == 400
    assert json.loads(bytes(body.data))["error"]["code"] == "bad_http"


def test_an_upload_that_needs_a_name_has_it_until_it_is_closed(monkeypatch):
    monkeypatch.setattr(uploads, "PASSES_FILES", False)
    with uploads.VideoFile() as video:
        video.write(b"abc")
        assert Path(video.path).read_bytes() == b"abc"
    assert not Path(video.path).exists()


def test_no_room_for_an_upload_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(uploads.tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(ApiError, match="The server has no room for the upload") as refused:
        uploads.VideoFile()
    assert refused.value.status == 503
