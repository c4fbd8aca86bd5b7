"""Many clients at once: what `cliptide serve` answers, how fast, and whether its memory is flat.

    python benchmarks/serve.py [--clients 64] [--seconds 60] [--queue 64] [--model FILE]

Each client uploads a 2-second clip (320x240, 30 frames a second), waits for the answer and sends
the next; one that is told to wait (429) does. Clients and server share this machine. Memory is
what the server, its fork server and its workers hold, what they share counted once (Linux alone).
One client alone, before, says what a request costs without others.

The result goes to benchmarks/results/serve.json, under the queue's bound.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from untrained import memory_bytes, write_model

from cliptide.datasets.processes import usable_cores

RESULTS = Path(__file__).parent / "results" / "serve.json"
BOUNDARY = b"cliptide-benchmark"
MIB = 2**20
ALONE_S = 10.0


def make_clip(path: Path) -> bytes:
    """A block that moves over noise that stands still: 47 kB."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 90, (240, 320, 3), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(60):
            picture = still.copy()
            picture[80:160, 4 * number : 4 * number + 60] = (220, 60, 40)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def request_of(clip: bytes) -> bytes:
    head = b'Content-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
    body = b"--%s\r\n%s%s\r\n--%s--\r\n" % (BOUNDARY, head, clip, BOUNDARY)
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=%s\r\nContent-Length: %d\r\n\r\n%s"
        % (BOUNDARY, len(body), body)
    )


async def ask(port: int, request: bytes) -> tuple[int, float, bytes]:
    """Status, seconds and headers of one request."""
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
    head = answer.partition(b"\r\n\r\n")[0]
    return int(head.split()[1]), time.perf_counter() - began, head


async def client(port: int, request: bytes, until: float, seen: list[tuple[int, float]]) -> None:
    while time.perf_counter() < until:
        try:
            status, seconds, head = await ask(port, request)
        except OSError as error:
            print(f"a client lost its connection: {error!r}", file=sys.stderr)
            seen.append((0, 0.0))
            continue
        seen.append((status, seconds))
        if status == 429:
            wait = re.search(rb"retry-after: (\d+)", head)
            assert wait is not None
            await asyncio.sleep(min(int(wait[1]), max(0.0, until - time.perf_counter())))


def memory_of(pid: int) -> tuple[float, float]:
    """MiB of the server's own process, and of its workers and their fork server."""
    below = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children")
             for child in file.read_text().split()]  # fmt: skip
    workers = sum(map(memory_bytes, below)) / MIB
    return memory_bytes(pid) / MIB - workers, workers


async def watch(pid: int, until: float, memory: list[tuple[float, float]]) -> None:
    while time.perf_counter() < until:
        memory.append(await asyncio.to_thread(memory_of, pid))
        await asyncio.sleep(1.0)


async def measure(args: argparse.Namespace, port: int, pid: int, request: bytes) -> dict:
    for _ in range(5):
        await ask(port, request)
    alone: list[tuple[int, float]] = []
    await client(port, request, time.perf_counter() + ALONE_S, alone)
    seen: list[tuple[int, float]] = []
    memory = [memory_of(pid)]
    until = time.perf_counter() + args.seconds
    clients = [client(port, request, until, seen) for _ in range(args.clients)]
    await asyncio.gather(watch(pid, until, memory), *clients)
    memory.append(memory_of(pid))
    return figures(args, [seconds for _, seconds in alone], seen, memory)


def figures(
    args: argparse.Namespace,
    alone: list[float],
    seen: list[tuple[int, float]],
    memory: list[tuple[float, float]],
) -> dict:
    good = sorted(seconds for status, seconds in seen if status == 200)
    p50, p95, p99 = (good[int(share * (len(good) - 1))] for share in (0.5, 0.95, 0.99))
    single = statistics.median(alone)
    depth = min(args.queue, args.clients)
    return {
        "clients": args.clients,
        "seconds": args.seconds,
        "queue": args.queue,
        "statuses": dict(sorted(Counter(status for status, _ in seen).items())),
        "single_client_ms": round(1000 * single, 1),
        "videos_per_s_alone": round(len(alone) / ALONE_S, 1),
        "videos_per_s": round(len(good) / args.seconds, 1),
        "p50_ms": round(1000 * p50),
        "p95_ms": round(1000 * p95),
        "p99_ms": round(1000 * p99),
        "p95_bound_ms": round(1000 * 3 * single * depth),
        "p95_is_within": p95 <= 3 * single * depth,
        "server_mib": course([server for server, _ in memory]),
        "workers_mib": course([workers for _, workers in memory]),
        "machine": f"{platform.machine()}, {usable_cores()} cores, clients on them too",
        "load_before": round(os.getloadavg()[0], 1),
    }


def course(memory: list[float]) -> dict:
    """How memory went: before the first request of many, the most in each third, every 5 s."""
    third = len(memory) // 3
    return {
        "start": round(memory[0]),
        "first_third": round(max(memory[1:third])),
        "middle_third": round(max(memory[third : 2 * third])),
        "last_third": round(max(memory[2 * third :])),
        "every_5_s": [round(value) for value in memory[::5]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--model", type=str, default=None, help="An untrained one by default.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.model or str(folder / "model.safetensors")
        if args.model is None:
            write_model(Path(model))
        clip = make_clip(folder / "clip.mp4")
        command = [sys.executable, "-m", "cliptide.app", "serve", f"bench={model}", "--port=0"]
        log = folder / "log"
        with log.open("w") as stderr:
            server = subprocess.Popen(
                [*command, f"--queue={args.queue}", "--access_log=false"], stderr=stderr
            )
        try:
            while not (found := re.search(r"http://[^:]+:(\d+)", log.read_text())):
                if server.poll() is not None:
                    sys.exit(log.read_text())
                time.sleep(0.1)
            result = asyncio.run(measure(args, int(found[1]), server.pid, request_of(clip)))
            result["clip_kb"] = round(len(clip) / 1000)
        finally:
            server.terminate()
            result_code = server.wait(60)
        result["server_log_lines"] = len(log.read_text().splitlines())
        assert result_code == 0, log.read_text()
    print(json.dumps(result, indent=1))
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[f"queue {args.queue}, clients {args.clients}"] = result
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
