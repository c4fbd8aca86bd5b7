"""How long `cliptide --help` takes: the median of five warm runs. Wanted: under 0.5 s.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [str(Path(sys.executable).with_name("cliptide")), "--help"]


def seconds() -> float:
    began = time.perf_counter()
    subprocess.run(COMMAND, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    seconds()  # the first run fills the caches
    runs = [seconds() for _ in range(5)]
    shown = ", ".join(f"{run:.3f}" for run in runs)
    print(f"cliptide --help: median {statistics.median(runs):.3f} s of {shown}")


if __name__ == "__main__":
    main()
