"""A multipart request, read as it comes: the file to disk, without a name there, and the fields.

Sizes and silences are bounded whatever the headers say, and no name that a client gives is ever
a path.
"""

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cliptide.app.serving.decoding import PASSES_FILES
from cliptide.app.serving.errors import ApiError
from cliptide.app.serving.limits import Limits
from cliptide.configs.checks import nearest

MOST_FIELD_BYTES = 4096
MOST_PARTS = 16
# Around the file: the other fields, boundaries and headers.
MOST_BESIDE_BYTES = 2**17
# A client has the time limit, and longer only while it sends at least so much.
LEAST_BYTES_PER_S = 64 * 1024
MOST_NAME = 200
FILE_FIELD = "file"


class VideoFile:
    """A video on disk that vanishes with this object, also if the process is killed.

    Attributes:
        name: What to call it; never a path.
        num_bytes: Its size.
        path: Where it lies, for a process that takes no open file; None where it has no name.

    Raises:
        ApiError: The disk is full, or may not be written to.
    """

    def __init__(self) -> None:
        self.name, self.num_bytes = "upload", 0
        self.path: str | None = None
        self._file: IO[bytes]
        try:
            if PASSES_FILES:
                self._file = tempfile.TemporaryFile(prefix="cliptide-", buffering=0)  # noqa: SIM115
            else:
                # Not NamedTemporaryFile: on Windows nobody else can open what that made.
                descriptor, self.path = tempfile.mkstemp(prefix="cliptide-")
                self._file = os.fdopen(descriptor, "wb", buffering=0)
        except OSError as error:
            raise _no_room(error) from error

    def write(self, data: bytes) -> None:
        """Add to it.

        Raises:
            ApiError: The disk is full.
        """
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _no_room(error) from error
        self.num_bytes += len(data)

    @property
    def descriptor(self) -> int | None:
        """For a process that takes open files."""
        return self._file.fileno() if PASSES_FILES else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if self.path is not None:
            Path(self.path).unlink()


def _no_room(error: OSError) -> ApiError:
    return ApiError(
        503,
        "no_room",
        f"The server has no room for the upload ({error.strerror}). Try again later.",
        headers={"Retry-After": "30"},
    )


def clean_name(name: str) -> str:
    """A file name that can be shown: no folders, no control characters, not endless."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(char for char in last if char.isprintable()).strip()
    return shown[:MOST_NAME] or "upload"


def check_head(request: Request, limits: Limits) -> bytes:
    """Look at the headers before anything is read.

    Returns:
        The boundary of the parts.

    Raises:
        ApiError: The body is no multipart form, is encoded, or is said to be too large.
    """
    given = request.headers.get("content-type", "")
    kind, options = parse_options_header(given)
    if kind != b"multipart/form-data":
        raise ApiError(
            415,
            "not_multipart",
            f"The request's content type is {given[:100]!r}. Send a form: curl -F file=@clip.mp4",
        )
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise ApiError(
            400, "bad_form", "The content type names no boundary. Let your client set that header."
        )
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise ApiError(
            415, "encoded", f"The body is encoded as {encoding[:40]!r}. Send it as it is."
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.upload_bytes + MOST_BESIDE_BYTES:
        raise _too_large(limits)
    return boundary


def _too_large(limits: Limits) -> ApiError:
    return ApiError(
        413,
        "too_large",
        f"The upload is larger than the {limits.upload_mb:g} MiB that this server takes. Send a "
        "shorter or smaller video.",
    )


async def received(request: Request, limits: Limits) -> AsyncIterator[bytes]:
    """The body as it comes, within its limits.

    Raises:
        ApiError: It is too large, or comes too slowly.
        ClientDisconnect: The client has gone.
    """
    began_s, count = time.monotonic(), 0
    chunks = aiter(request.stream())
    while True:
        left_s = began_s + limits.time_s + count / LEAST_BYTES_PER_S - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(limits.silence_s, left_s))):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise ApiError(
                408,
                "upload_too_slow",
                f"After {time.monotonic() - began_s:.0f} s {count} bytes have come. Send at "
                f"least every {limits.silence_s:g} s, and faster on the whole.",
            ) from error
        if chunk is None:
            return
        count += len(chunk)
        if count > limits.upload_bytes + MOST_BESIDE_BYTES:
            raise _too_large(limits)
        yield chunk


@dataclass
class _Part:
    name: str
    is_file: bool
    data: bytearray


class FormReader:
    """Takes the bytes of a form in; the file goes to `video`, the fields are kept.

    Args:
        boundary: What divides the parts.
        video: Where the file goes.
        limits: Of sizes.
        known: Names of the fields that there are, beside the file's.

    Attributes:
        fields: What was given.
        has_file: Whether the file was.
    """

    def __init__(
        self, boundary: bytes, video: VideoFile, *, limits: Limits, known: tuple[str, ...]
    ) -> None:
        self.fields: dict[str, str] = {}
        self.has_file = False
        self._video, self._limits, self._known = video, limits, known
        self._part: _Part | None = None
        self._num_parts, self._is_finished = 0, False
        self._field, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        callbacks: Mapping[str, Callable[..., None]] = {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }
        untyped: Any = callbacks
        self._parser = MultipartParser(boundary, untyped)

    def write(self, data: bytes) -> None:
        """Take the next bytes in.

        Raises:
            ApiError: They are no form, or have what no request has.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise ApiError(
                400, "bad_form", f"The body is no multipart form ({error}). Use -F with curl."
            ) from error

    def finish(self) -> None:
        """Say that this was all.

        Raises:
            ApiError: Something is missing.
        """
        if not self._is_finished:
            raise ApiError(
                400, "bad_form", "The form ends before its last boundary. Send it again, whole."
            )

    def _begin(self) -> None:
        self._num_parts += 1
        if self._num_parts > MOST_PARTS:
            raise ApiError(
                400, "bad_form", f"The form has more than {MOST_PARTS} parts. Send one file."
            )
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if name == FILE_FIELD:
            if self.has_file:
                raise ApiError(422, "two_files", "The form has two files. Send one a request.")
            self.has_file = True
            self._video.name = clean_name(_text(options.get(b"filename", b"")))
        elif name not in self._known:
            known = (FILE_FIELD, *self._known)
            near = ", ".join(nearest(name, known) or known)
            raise ApiError(422, "unknown_field", f"There is no field {name[:50]!r}. Use: {near}.")
        elif name in self.fields:
            raise ApiError(422, "field_twice", f"The field {name!r} is given twice. Give it once.")
        self._part = _Part(name, name == FILE_FIELD, bytearray())

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        if self._part.is_file:
            if self._video.num_bytes + end - start > self._limits.upload_bytes:
                raise _too_large(self._limits)
            self._video.write(data[start:end])
        elif len(self._part.data) + end - start > MOST_FIELD_BYTES:
            raise ApiError(
                422, "field_too_long", f"The field {self._part.name!r} is longer than "
                f"{MOST_FIELD_BYTES} bytes. Shorten it."
            )  # fmt: skip
        else:
            self._part.data += data[start:end]

    def _end(self) -> None:
        assert self._part is not None
        if not self._part.is_file:
            self.fields[self._part.name] = _text(bytes(self._part.data))

    def _finish(self) -> None:
        self._is_finished = True


def _text(data: bytes) -> str:
    return os.fsdecode(data).encode("utf-8", errors="replace").decode("utf-8")
