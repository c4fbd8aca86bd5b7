"""A real `cliptide serve` in a process of its own, and clients that behave and misbehave."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

Answer = namedtuple("Answer", "status headers body")
BOUNDARY = "cliptide-test-boundary"


class ServerProcess:
    """A server; `port`, `url`, and what the system says of its process."""

    def __init__(self, process, log, folder):
        self.process, self.log, self.folder = process, log, folder
        found = wait_for(lambda: re.search(r"at http://([^:]+):(\d+)", log.read_text()), process)
        self.host, self.port = found[1], int(found[2])
        self.url = f"http://{self.host}:{self.port}"

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            return read_answer(connection)
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def predict(self, video, *, headers=None, **fields):
        """Post a video, bytes or a path, and other fields."""
        data = video.read_bytes() if isinstance(video, Path) else video
        name = video.name if isinstance(video, Path) else "clip.mp4"
        return self.post(form([("file", data, name)], **fields), headers=headers)

    def post(self, body, *, content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=None):
        headers = {"Content-Type": content_type} | (headers or {})
        return self.request("POST", "/v1/predict", body, headers)

    def raw(self, data):
        """A connection that has sent bytes and stays open."""
        connection = socket.create_connection((self.host, self.port), timeout=60)
        connection.sendall(data)
        return connection

    def begun_upload(self, length=100_000, key="none"):
        """A connection whose upload has begun and does not end."""
        head = (
            f"POST /v1/predict HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {length}\r\n"
            f"X-API-Key: {key}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
        return self.raw(head.encode() + form([("file", b"x" * 100, "a.mp4")])[:150])

    def descriptors(self):
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def temporary_files(self):
        """Uploads: named ones in the folder, and ones without a name that are still open."""
        named = [path.name for path in self.folder.iterdir() if not path.name.startswith("pymp-")]
        links = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                links.append(str(link.readlink()))
            except FileNotFoundError:
                continue
        return named + [link for link in links if str(self.folder) in link and "pymp-" not in link]

    def workers(self):
        """Process ids of the workers: children of the fork server."""
        return [pid for child in children(self.process.pid) for pid in children(child)]

    def in_work(self):
        text = self.get("/metrics").body.decode()
        return int(float(re.search(r"^cliptide_requests_in_work (\S+)", text, re.M)[1]))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def serving(folder, *words, env=None):
    """Run a server on a free port, its log in `folder` and its temporary files apart; end it."""
    # Not below `folder`: the address of a local socket has room for some hundred letters.
    log, temporary = folder / "log", Path(tempfile.mkdtemp(prefix="clip"))
    command = [sys.executable, "-m", "cliptide.app", "serve", "--port", "0", "--device", "cpu"]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, *map(str, words)],
            stderr=stderr,
            env=os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"} | (env or {}),
        )
    try:
        yield ServerProcess(process, log, temporary)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)
        shutil.rmtree(temporary, ignore_errors=True)


def write_model(path, *, task="single", **changes):
    """Write an untrained model whose scores differ from video to video, and return its path."""
    import torch

    from cliptide.configs.schema import ModelConfig
    from cliptide.models.build import build_recognizer
    from cliptide.models.bundle import save_model
    from cliptide.models.info import ModelInfo

    torch.manual_seed(0)
    config = ModelConfig(hidden=8)
    names = ("fall", "rise", "größer")
    streams = changes.get("streams")
    network = build_recognizer(
        config, num_classes=len(names), task=task, size=(32, 32), streams=streams
    ).eval()
    with torch.no_grad():
        for weights in network.head.parameters():
            weights *= 8
    facts = {
        "model": asdict(config),
        "task": task,
        "class_names": names,
        "size": (32, 32),
        "mean": network.encoder.mean,
        "std": network.encoder.std,
        "sampling": "uniform",
        "frames": 4,
        "rate_fps": 10.0,
        "context_s": 0.4,
        "split_fingerprint": "0123456789ab",
        "run": {"eval": {"clips": 2}},
    }
    save_model(path, network, ModelInfo(**facts | changes))
    return path


def wait_for(look, process=None, seconds=60.0):
    """What `look` finds, as soon as it finds anything."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        assert process is None or process.poll() is None, "the server has ended"
        time.sleep(0.05)
    raise AssertionError("nothing came of it in time")


def form(files, **fields):
    """A multipart body."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for field, data, name in files:
        head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        parts.append(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def read_answer(connection):
    answer = connection.getresponse()
    data = answer.read()
    is_json = answer.headers.get_content_type() == "application/json"
    return Answer(answer.status, answer.headers, json.loads(data) if is_json and data else data)


def answer_on(connection):
    """The answer that comes on a raw connection, which is closed."""
    with connection, http.client.HTTPResponse(connection) as answer:
        answer.begin()
        return Answer(answer.status, answer.headers, json.loads(answer.read()))


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except FileNotFoundError:
            continue
    return found


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
