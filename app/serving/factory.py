"""The application: routes, and what stands around them."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from cliptide.app.serving.context import Serving
from cliptide.app.serving.errors import add_error_handlers, documented
from cliptide.app.serving.keys import KeyRequired
from cliptide.app.serving.pages import docs_routes, page_routes
from cliptide.app.serving.predicting import predict_routes
from cliptide.app.serving.streaming import StreamHub, stream_routes
from cliptide.app.serving.transport import EarlyAnswers, Observed

_ABOUT = """Recognises what happens in videos.

    curl -F file=@clip.mp4 http://HOST:PORT/v1/predict
    curl -F file=@clip.mp4 -F timeline=true http://HOST:PORT/v1/predict

Streams: open a WebSocket at /v1/stream?model=NAME and send one JPEG a binary message; before one
a text message {"time_s": 1.25} may set its time. Back come "ready", then "scores" for each frame
that was taken. Errors are {"error": {"code", "message"}} everywhere.
With an API key: the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'; for streams also
?key=KEY."""


def create_app(serving: Serving, hub: StreamHub) -> FastAPI:
    """The application of a server.

    Args:
        serving: The server's parts; whoever has them starts and ends them.
        hub: The streams.
    """
    app = FastAPI(
        title="cliptide",
        version=version("cliptide"),
        description=_ABOUT,
        docs_url=None,  # FastAPI's own pages load from elsewhere
        redoc_url=None,
    )
    add_error_handlers(app)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody hears it

    app.include_router(predict_routes(serving))
    app.include_router(stream_routes(hub))
    app.include_router(page_routes())
    app.include_router(docs_routes(app))
    _add_state_routes(app, serving)
    app.add_middleware(KeyRequired, key=serving.key)

    def on_answer(route: str, status: int, seconds: float) -> None:
        serving.metrics.requests.labels(route, str(status)).inc()
        serving.metrics.request_seconds.labels(route).observe(seconds)

    app.add_middleware(EarlyAnswers)
    app.add_middleware(Observed, on_answer=on_answer)
    if serving.key is not None:
        _describe_key(app)
    return app


def _add_state_routes(app: FastAPI, serving: Serving) -> None:
    @app.get("/v1/models", responses=documented(401), summary="The models and the limits")
    async def models() -> dict[str, Any]:
        known = [
            model.to_json(default=place == 0) for place, model in enumerate(serving.models.values())
        ]
        needs_key = serving.key is not None
        return {"models": known, "limits": serving.limits.to_json(), "needs_key": needs_key}

    @app.get("/healthz", summary="Whether the process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", responses=documented(503), summary="Whether it takes requests")
    async def readyz() -> JSONResponse:
        is_ready = serving.is_ready and serving.admission.is_open
        return JSONResponse(
            {"status": "ready"}
            if is_ready
            else {"error": {"code": "not_ready", "message": "The server starts or stops."}},
            200 if is_ready else 503,
        )

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        counts = serving.metrics
        counts.in_work.set(serving.admission.num_inside)
        counts.queue_size.set(serving.admission.most)
        counts.workers.set(serving.pool.num_alive)
        return Response(counts.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _describe_key(app: FastAPI) -> None:
    """Say in the OpenAPI that a key is needed."""
    plain = app.openapi

    def with_key() -> dict[str, Any]:
        found = plain()
        schemes = found.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
        schemes["header"] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        for path, operations in found["paths"].items():
            for operation in operations.values() if path.startswith("/v1/") else ():
                operation["security"] = [{"bearer": []}, {"header": []}]
        return found

    app.openapi = with_key  # type: ignore[method-assign]
