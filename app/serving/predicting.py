"""`POST /v1/predict`: a video in, what happens in it out."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from cliptide.app.inference.timeline import make_timeline
from cliptide.app.serving.context import Serving
from cliptide.app.serving.decoding import Answer, Beginning, End
from cliptide.app.serving.errors import ApiError, documented, stopping
from cliptide.app.serving.fetching import fetch
from cliptide.app.serving.served import ServedModel
from cliptide.app.serving.uploads import FILE_FIELD, FormReader, VideoFile, check_head, received
from cliptide.datasets.reading import Views
from cliptide.datasets.video import TimedFrame

FIELDS = ("url", "model", "timeline")


def predict_routes(serving: Serving) -> APIRouter:
    """The routes that answer about whole videos."""
    router = APIRouter()

    @router.post(
        "/v1/predict",
        responses=documented(400, 401, 404, 408, 413, 415, 422, 429, 503)
        | {200: _success(serving)},
        openapi_extra={"requestBody": _body(serving)},
        summary="Recognise what happens in a video",
    )
    async def predict(request: Request) -> JSONResponse:
        boundary = check_head(request, serving.limits)
        try:
            with serving.admission.inside(), VideoFile() as video:
                form = FormReader(boundary, video, limits=serving.limits, known=FIELDS)
                async for chunk in received(request, serving.limits):
                    form.write(chunk)
                form.finish()
                serving.metrics.upload_bytes.inc(video.num_bytes)
                model, wants_timeline = _wanted(form.fields, serving)
                await _unless_gone(request, _complete(form, video, serving))
                answering = _timeline if wants_timeline else _prediction
                answer = await _unless_gone(request, answering(serving, model, video))
        except asyncio.CancelledError:
            if serving.admission.is_open:
                raise
            raise stopping() from None  # the grace is over
        return JSONResponse({"model": model.name, **answer})

    return router


def _wanted(fields: dict[str, str], serving: Serving) -> tuple[ServedModel, bool]:
    model = serving.model(fields.get("model"))
    timeline = fields.get("timeline", "false")
    if timeline not in ("true", "false"):
        raise ApiError(422, "bad_field", f"timeline is {timeline[:50]!r}. Use true or false.")
    if timeline == "true" and not model.recognizer.info.streams.has_seconds:
        raise ApiError(
            422,
            "no_timeline",
            f"{model.name} reads {model.samples}, which have no seconds, so there is no timeline. "
            "Leave timeline out.",
        )
    return model, timeline == "true"


async def _complete(form: FormReader, video: VideoFile, serving: Serving) -> None:
    """Fetch the video where the form only says where it is."""
    url = form.fields.get("url")
    if form.has_file == (url is not None):
        found = "both a file and a url" if form.has_file else f"no {FILE_FIELD}"
        raise ApiError(
            422, "no_file", f"The form has {found}. Send one video: curl -F file=@clip.mp4"
        )
    if url is not None:
        await fetch(url, video, allowed=serving.allowed_urls, limits=serving.limits)
    if not video.num_bytes:
        raise ApiError(
            422, "empty_file", f"{video.name}: it has 0 bytes. Choose the video again and send it."
        )


async def _unless_gone(request: Request, answering: Coroutine[Any, Any, Any]) -> Any:
    """The answer; what is still to be done for it is left when its client goes."""
    work = asyncio.create_task(answering)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        gone.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _prediction(serving: Serving, model: ServedModel, video: VideoFile) -> dict[str, Any]:
    limits, metrics = serving.limits, serving.metrics
    job = model.clips_job(video.name, video.path, limits)
    async with model.room(limits.time_s):
        began_s = time.perf_counter()
        views = await serving.pool.read(
            job, _only_views, file=video.descriptor, time_s=limits.time_s
        )
        read_s = time.perf_counter()
        metrics.read_seconds.observe(read_s - began_s)
        outputs = await model.batcher.score(views.clips)
        metrics.score_seconds.labels(model.name).observe(time.perf_counter() - read_s)
    return model.recognizer.answer_clips(video.name, outputs, views).to_json()


def _only_views(answers: Iterator[Answer]) -> Views:
    (views,) = answers
    assert isinstance(views, Views)
    return views


async def _timeline(serving: Serving, model: ServedModel, video: VideoFile) -> dict[str, Any]:
    def look_along(answers: Iterator[Answer]) -> dict[str, Any]:
        beginning = next(answers)
        assert isinstance(beginning, Beginning)
        missing: dict[str, str] = {}
        timeline = make_timeline(
            model.batcher.in_turns(),
            _frames(answers, missing),
            video=video.name,
            duration_s=beginning.duration_s,
            rule=model.segment_rule,
            missing=missing,
        )
        return timeline.to_json()

    return await serving.pool.read(
        model.frames_job(video.name, video.path, serving.limits),
        look_along,
        file=video.descriptor,
        time_s=serving.limits.time_s,
    )


def _frames(answers: Iterator[Answer], missing: dict[str, str]) -> Iterator[TimedFrame]:
    """The frames; `missing` is filled with what was masked."""
    for answer in answers:
        if isinstance(answer, list):
            yield from answer
        elif isinstance(answer, End):
            missing.update(answer.missing)


def _body(serving: Serving) -> dict[str, Any]:
    properties: dict[str, Any] = {
        FILE_FIELD: {"type": "string", "format": "binary", "description": "The video."},
        "model": {
            "type": "string",
            "enum": list(serving.models),
            "description": "Which model; the first when left out.",
        },
        "timeline": {
            "type": "string",
            "enum": ["true", "false"],
            "default": "false",
            "description": "Whether to say what happens when, in place of what the whole shows.",
        },
    }
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if serving.allowed_urls:
        properties["url"] = {
            "type": "string",
            "format": "uri",
            "description": "Where the video is, in place of the file: below "
            + " or ".join(serving.allowed_urls),
        }
        schema["oneOf"] = [{"required": [FILE_FIELD]}, {"required": ["url"]}]
    else:
        schema["required"] = [FILE_FIELD]
    schema["properties"] = properties
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _success(serving: Serving) -> dict[str, Any]:
    number = {"type": "number"}
    segment = {
        "type": "object",
        "required": ["start_s", "end_s", "label", "score"],
        "properties": {
            "start_s": number,
            "end_s": number,
            "label": {"type": "string"},
            "score": number,
        },
    }
    schema = {
        "type": "object",
        "required": ["model", "video", "duration_s", "frames_used"],
        "properties": {
            "model": {"type": "string", "enum": list(serving.models)},
            "video": {"type": "string"},
            "label": {"type": "string"},
            "labels": {"type": "array", "items": {"type": "string"}},
            "score": number,
            "scores": {"type": "object", "additionalProperties": number},
            "top": {"type": "array", "items": {"type": "object"}},
            "value": {},
            "duration_s": number,
            "frames_used": {"type": "integer"},
            "segments": {"type": "array", "items": segment},
            "missing": {"type": "array", "items": {"type": "string"}},
            "curve": {"type": "object", "required": ["times_s"]},
        },
    }
    return {
        "description": "What happens in the video.",
        "content": {"application/json": {"schema": schema}},
    }
