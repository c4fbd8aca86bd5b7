"""`/v1/stream`: the scores are those of a stream, each connection has its own, rubbish ends it."""

import asyncio
import json
import struct
import sys

import cv2
import numpy as np
import pytest
from serving_process import serving, wait_for, write_model
from video_files import jpeg_bytes, numbered_frames, write_video
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cliptide.app import load
from cliptide.app.inference.stream import StreamScorer
from cliptide.app.serving.pictures import fitted_jpeg, jpeg_size
from cliptide.configs.streams import Streams

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

KEY = "a-secret"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def server(tmp_path_factory, tiny_model):
    flags = ["--max_silence_s=1.5", "--max_streams=3", f"--key={KEY}", "--workers=1"]
    folder = tmp_path_factory.mktemp("server")
    models = [f"tiny={tiny_model}"]
    for task in ("multi", "regression"):
        models.append(f"{task}={write_model(folder / task, task=task)}")
    of_sound = Streams(names=("audio",), samples="audio")
    models.append(f"sound={write_model(folder / 'sound', streams=of_sound)}")
    of_images = Streams(samples="images")
    models.append(f"images={write_model(folder / 'images', streams=of_images)}")
    with serving(folder, *models, *flags) as running:
        yield running
        assert KEY not in running.log.read_text()


@pytest.fixture(scope="module")
def jpegs():
    return [jpeg_bytes(frame) for frame in numbered_frames(12)]


def stream(server, client, *, query=f"?key={KEY}", **options):
    """What a client, a coroutine of a WebSocket, returns."""

    async def run():
        url = f"ws://{server.host}:{server.port}/v1/stream{query}"
        async with connect(url, max_queue=None, **options) as socket:
            return await client(socket)

    return asyncio.run(asyncio.wait_for(run(), 30))


async def told(socket):
    return json.loads(await socket.recv())


async def send_timed(socket, data, time_s):
    await socket.send(json.dumps({"time_s": time_s}))
    await socket.send(data)


def expected_scores(model, jpegs):
    scorer = StreamScorer(load(model, device="cpu").engine)
    return [scorer.push(fitted_jpeg(data, size=(32, 32), fit="resize")).tolist() for data in jpegs]


def test_scores_are_those_of_a_stream_and_each_connection_has_its_own(server, tiny_model, jpegs):
    async def client(one):
        url = f"ws://{server.host}:{server.port}/v1/stream?key={KEY}"
        async with connect(url) as other:
            ready = await told(one)
            assert ready["type"] == (await told(other))["type"] == "ready"
            answers = []
            for number, (data, backwards) in enumerate(zip(jpegs, jpegs[::-1], strict=True)):
                await send_timed(one, data, number / 10)
                await send_timed(other, backwards, number / 10)
                answers.append((await told(one), await told(other)))
            return ready, answers

    ready, answers = stream(server, client)
    info = load(tiny_model, device="cpu").info
    assert ready["labels"] == list(info.class_names)
    assert (ready["rate_fps"], ready["context_s"]) == (info.rate_fps, info.context_s)
    assert (ready["size"], ready["model"], ready["delay_s"]) == ([32, 32], "tiny", 0.0)
    for which, given in enumerate((jpegs, jpegs[::-1])):
        found = [list(answer[which]["scores"].values()) for answer in answers]
        np.testing.assert_allclose(found, expected_scores(tiny_model, given), atol=1e-5)
    last = answers[-1][0]
    assert (last["time_s"], last["taken"], last["dropped"]) == (1.1, 12, 0)
    assert last["score"] == max(last["scores"].values()) == last["scores"][last["label"]]


def test_frames_above_the_rate_are_left_out_and_a_gap_begins_anew(server, tiny_model, jpegs):
    async def client(socket):
        await told(socket)
        found = []
        for number in range(12):  # 30 a second, where the model learnt 10
            await send_timed(socket, jpegs[number], number / 30)
            if number % 3 == 0:
                found.append(await told(socket))
        await send_timed(socket, jpegs[0], 60.0)
        return [*found, await told(socket)]

    *found, anew = stream(server, client)
    assert [answer["time_s"] for answer in found] == [0.0, 0.1, 0.2, 0.3]
    assert anew["taken"] == 5
    (first,) = expected_scores(tiny_model, jpegs[:1])
    assert list(anew["scores"].values()) == pytest.approx(first, abs=1e-5)


def test_when_frames_come_too_fast_to_score_the_newest_wins(server, jpegs):
    async def client(socket):
        await told(socket)
        for number in range(300):
            await send_timed(socket, jpegs[number % 12], number / 10)
        answers = [await told(socket)]
        while answers[-1]["time_s"] < 29.9:
            answers.append(await told(socket))
        return answers

    answers = stream(server, client)
    last = answers[-1]
    assert last["taken"] == len(answers)
    assert last["taken"] + last["dropped"] == 300


def test_several_labels_and_numbers_are_told_as_what_they_are(server, jpegs, tmp_path):
    async def client(socket):
        await told(socket)
        await socket.send(jpegs[0])
        return await told(socket)

    clip = write_video(tmp_path / "clip.mp4", numbered_frames(12))
    for task, key in (("multi", "labels"), ("regression", "value")):
        answer = stream(server, client, query=f"?key={KEY}&model={task}")
        assert key in answer and "label" not in answer
        whole = server.predict(clip, model=task, headers={"X-API-Key": KEY})
        assert whole.status == 200 and key in whole.body
        along = server.predict(clip, model=task, timeline="true", headers={"X-API-Key": KEY})
        assert along.status == 200 and "curve" in along.body


HUGE = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 60000, 60000, 3) + bytes(20)


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        (b"rubbish", "not_a_jpeg", 1003),
        (b"", "not_a_jpeg", 1003),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "not_a_jpeg", 1003),
        (HUGE, "too_many_pixels", 1008),
        (bytes(5 * 2**20), "message_too_large", 1009),
        ("rubbish", "bad_message", 1003),
        ('{"time_s": NaN}', "bad_message", 1003),
        ('{"time_s": true}', "bad_message", 1003),
        ("[" * 150, "bad_message", 1003),
        (None, "idle", 1008),
    ],
)
def test_rubbish_or_nothing_ends_a_stream_with_an_error(server, jpegs, message, code, close):
    async def client(socket):
        await told(socket)
        if message is not None:
            await socket.send(message)
        error = await told(socket)
        await socket.wait_closed()
        return error, socket.close_code

    error, closed = stream(server, client)
    assert (error["type"], error["error"]["code"], closed) == ("error", code, close)
    assert error["error"]["message"].endswith(".")
    wait_for(lambda: b"cliptide_streams 0.0" in metrics(server))


def test_a_damaged_jpeg_and_a_time_that_goes_back_are_told(server, jpegs):
    async def client(socket):
        await told(socket)
        await send_timed(socket, jpegs[0], 5.0)
        assert (await told(socket))["taken"] == 1
        await send_timed(socket, jpegs[1], 4.0)
        return (await told(socket))["error"]["code"]

    assert stream(server, client) == "time_goes_back"


def test_a_model_of_sound_does_not_follow_pictures(server):
    error = stream(server, told, query=f"?key={KEY}&model=sound")["error"]
    assert error["code"] == "no_stream"
    assert error["message"] == (
        "sound does not follow a stream of pictures. Choose a model with can_stream, or send files "
        "to /v1/predict."
    )


def test_a_model_of_images_has_no_seconds_for_a_stream_or_a_timeline(server, tmp_path):
    error = stream(server, told, query=f"?key={KEY}&model=images")["error"]
    assert error["code"] == "no_stream"
    assert error["message"] == (
        "images reads images, which have no seconds to watch. Send them to /v1/predict."
    )
    key = {"X-API-Key": KEY}
    listed = server.request("GET", "/v1/models", None, key).body
    assert {one["name"]: one["can_stream"] for one in listed["models"]}["images"] is False
    image = tmp_path / "a.png"
    cv2.imwrite(str(image), numbered_frames(1)[0])
    assert server.predict(image, model="images", headers=key).status == 200
    answer = server.predict(image, model="images", timeline="true", headers=key)
    assert (answer.status, answer.body["error"]["code"]) == (422, "no_timeline")
    assert answer.body["error"]["message"] == (
        "images reads images, which have no seconds, so there is no timeline. Leave timeline out."
    )


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("", {}, "wrong_key"),
        ("?key=wrong", {}, "wrong_key"),
        (f"?key={KEY}&model=tinny", {}, "no_such_model"),
        (f"?key={KEY}", {"Origin": "https://example.org"}, "wrong_origin"),
    ],
)
def test_who_may_not_stream_is_told(server, query, headers, code):
    async def client(socket):
        return await told(socket)

    answer = stream(server, client, query=query, additional_headers=headers)
    assert answer["error"]["code"] == code


def test_a_page_of_this_server_and_a_key_in_a_header_may_stream(server):
    async def client(socket):
        return await told(socket)

    headers = {"Origin": server.url, "Authorization": f"Bearer {KEY}"}
    assert stream(server, client, query="", additional_headers=headers)["type"] == "ready"


def test_more_streams_than_the_limit_are_sent_away(server):
    async def client(socket):
        url = f"ws://{server.host}:{server.port}/v1/stream?key={KEY}"
        async with connect(url) as two, connect(url) as three:
            for held in (socket, two, three):
                assert (await told(held))["type"] == "ready"
            async with connect(url) as four:
                error = await told(four)
                with pytest.raises(ConnectionClosed):
                    await four.recv()
                return error["error"]["code"], four.close_code

    assert stream(server, client) == ("too_many_streams", 1013)


def test_the_size_of_a_jpeg_is_read_without_decoding(jpegs):
    assert jpeg_size(jpegs[0]) == (48, 64)
    assert jpeg_size(HUGE) == (60000, 60000)
    assert jpeg_size(jpegs[0][:10]) is None
    assert jpeg_size(b"\x89PNG\r\n\x1a\n") is None


def metrics(server):
    return server.get("/metrics", **{"X-API-Key": KEY}).body
