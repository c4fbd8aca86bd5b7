"""The web page and its files, and the API described for people. Nothing comes from elsewhere."""

import base64
import hashlib
import html
import json
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from cliptide.app.serving.errors import ApiError

FOLDER = Path(__file__).parent / "page"
_FILE = re.compile(r"[A-Za-z0-9][\w-]*(\.[\w-]+)*\.(css|html|ico|js|json|png|svg|webp|woff2)")
_STRICT = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_CAMERA = "camera=(self), microphone=(), geolocation=()"
_FALLBACK = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cliptide</title>
<p>cliptide serves: the API is described at <a href="/docs">/docs</a>."""
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}pre,code{font:14px/1.45 ui-monospace,monospace}
pre{padding:.75rem 1rem;background:#f3f4f6;overflow:auto;border-radius:6px}
section{border-top:1px solid #d5d9de;margin-top:2rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#15181c}pre{background:#22262c}
a{color:#8ab4f8}section{border-color:#3a3f46}}"""


def page_routes() -> APIRouter:
    """The page and its files."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        file = FOLDER / "index.html"
        content = file.read_text("utf-8") if file.is_file() else _FALLBACK
        headers = {"Content-Security-Policy": _STRICT, "Permissions-Policy": _CAMERA}
        return HTMLResponse(content, headers=headers | {"Cache-Control": "no-cache"})

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def static(name: str, request: Request) -> Response:
        file = FOLDER / name
        if not _FILE.fullmatch(name) or not file.is_file():
            raise ApiError(404, "not_found", f"There is no {request.url.path}.")
        content = file.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"Content-Security-Policy": _STRICT, "Cache-Control": "no-cache", "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        return Response(content, media_type=kind, headers=headers)

    return router


def docs_routes(app: FastAPI) -> APIRouter:
    """The API for people, made of its OpenAPI."""
    router = APIRouter(include_in_schema=False)
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'"

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(described(app.openapi()), headers={"Content-Security-Policy": policy})

    return router


def described(openapi: Mapping[str, Any]) -> str:
    """An OpenAPI description as a page."""
    info = openapi["info"]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">',
        f"<title>{_safe(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{_safe(info['title'])} {_safe(info['version'])}</h1>",
        f"<pre>{_safe(info.get('description', ''))}</pre>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a></p>',
    ]
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation))
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f"<section><h2><code>{_safe(method.upper())} {_safe(path)}</code></h2>",
        f"<p>{_safe(operation.get('summary', ''))}</p>",
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        rows = [
            f"<tr><td><code>{_safe(name)}</code><td>{_safe(field.get('description', ''))} "
            f"{_safe(' or '.join(map(str, field.get('enum', []))))}"
            for name, field in content["schema"].get("properties", {}).items()
        ]
        parts.append(f"<h3>Fields of {_safe(kind)}</h3><table>{''.join(rows)}</table>")
    rows = []
    for status, answer in operation.get("responses", {}).items():
        rows.append(f"<tr><td>{_safe(status)}<td>{_safe(answer.get('description', ''))}")
    parts.append(f"<h3>Answers</h3><table>{''.join(rows)}</table>")
    for answer in operation.get("responses", {}).values():
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        if "properties" in schema:
            text = _safe(json.dumps(schema["properties"], indent=1))
            parts.append(f"<h3>Fields of the answer</h3><pre>{text}</pre>")
    return "".join([*parts, "</section>"])


def _safe(text: object) -> str:
    return html.escape(str(text))
