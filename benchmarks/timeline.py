"""`cliptide predict --timeline` on long videos: speed, memory, and whether time is linear.

    python benchmarks/timeline.py [--minutes 60]

360p H.264 at 25 frames a second, the encoder `tiny` at 5 frames a second. Wanted: 20 times as fast
as the video on two cores, memory that grows by less than 100 MB after the first minute of video,
six times the time for six times the length.
"""

import argparse
import json
import tempfile
from pathlib import Path

from untrained import MIB, run_watched, write_long_video, write_model

RESULTS = Path(__file__).parent / "results" / "timeline.json"
SIZE = (360, 640)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="Length of the longer video.")
    args = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = write_model(folder / "model.safetensors", encoder="tiny", rate_fps=5.0)
        for minutes in (max(1, args.minutes // 6), args.minutes):
            video = write_long_video(folder / f"{minutes}.mp4", minutes=minutes, size=SIZE)
            words = ["-m", "cliptide.app", "predict", str(model), str(video), "--timeline"]
            took_s, memory = run_watched([*words, "--json", str(folder / f"{minutes}.json")])
            # When the first minute has been looked at, start included.
            at_minute_s = min(took_s / 2, 6.0 + 2 * took_s / minutes)
            early = [held for at, held in memory if at <= at_minute_s]
            grown = (max(held for _, held in memory) - max(early)) / MIB
            figures[str(minutes)] = {
                "seconds": took_s,
                "times_real_time": 60 * minutes / took_s,
                "peak_mib": max(held for _, held in memory) / MIB,
                "grown_after_first_minute_mib": grown,
            }
            print(
                f"{minutes} min of video in {took_s:.1f} s: {60 * minutes / took_s:.0f} times real "
                f"time; memory {figures[str(minutes)]['peak_mib']:.0f} MiB at most, grown by "
                f"{grown:.0f} MiB after the first minute",
                flush=True,
            )
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
