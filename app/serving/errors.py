"""Errors as the API tells them: `{"error": {"code", "message"}}`, the message with its mend."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from cliptide.configs.errors import CliptideError

log = logging.getLogger("cliptide.serving")

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


class ErrorDetail(BaseModel):
    """What went wrong."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorDetail


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: HTTP status.
        code: For programs.
        message: For people: the value and the mend.
        headers: Of the answer.
    """

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return error_body(self.code, self.message)


def busy(most_wait_s: float) -> ApiError:
    """What a request is told whose turn did not come in time."""
    return ApiError(
        503,
        "busy",
        f"Its turn did not come within {most_wait_s:g} s. Try again later.",
        headers={"Retry-After": "10"},
    )


def stopping() -> ApiError:
    """What a request is told that comes, or is not done, when the server stops."""
    return ApiError(
        503,
        "stopping",
        "The server is stopping. Try again in a few seconds.",
        headers={"Retry-After": "5"},
    )


def error_body(code: str, message: str) -> dict[str, Any]:
    """The body of an answer that is no success."""
    # A lone surrogate from a client's bytes is no JSON.
    text = message.encode("utf-8", errors="replace").decode("utf-8")
    return {"error": {"code": code, "message": text}}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its OpenAPI."""
    return {
        status: {"model": ErrorBody, "description": HTTPStatus(status).phrase}
        for status in statuses
    }


def add_error_handlers(app: FastAPI) -> None:
    """Let every error be told as JSON."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.to_json(), error.status, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "error")
        message = str(error.detail)
        if error.status_code == 404:
            message = f"There is no {request.url.path}. See /docs."
        elif error.status_code == 405:
            message = f"{request.url.path} does not take {request.method}. See /docs."
        return JSONResponse(error_body(code, message), error.status_code, headers=error.headers)

    @app.exception_handler(CliptideError)
    async def failed(request: Request, error: CliptideError) -> JSONResponse:
        log.error("%s", error)
        return JSONResponse(error_body("failed", str(error)), 500)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        message = "The server failed on this request; its log says why. Report it if it stays."
        return JSONResponse(error_body("internal", message), 500)
