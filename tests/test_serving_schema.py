"""schemathesis asks all that the OpenAPI allows and forbids, and finds nothing wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving_process import serving, write_model
from video_files import numbered_frames, write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

# What stands where the description says that a video belongs: random bytes would be refused.
HOOKS = """
from pathlib import Path
import schemathesis
from hypothesis import strategies as st
schemathesis.openapi.format("binary", st.just(Path(__file__).with_name("clip.mp4").read_bytes()))
"""


def test_the_api_is_as_it_is_described(tmp_path):
    # Not as a plugin of pytest: that does not know pytest 9.
    write_video(tmp_path / "clip.mp4", numbered_frames(8))
    (tmp_path / "video_hooks.py").write_text(HOOKS)
    model = write_model(tmp_path / "model.safetensors")
    with serving(tmp_path, f"tiny={model}", "--workers=1", "--key=secret") as server:
        program = Path(sys.executable).with_name("schemathesis")
        flags = ["--header=X-API-Key: secret", "--max-examples=20", "--seed=1", "--no-color"]
        run = subprocess.run(
            [program, "run", f"{server.url}/openapi.json", *flags],
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": "video_hooks", "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stdout[:6000] + run.stdout[-1500:] + run.stderr[-2000:]
        assert "Traceback" not in server.log.read_text()
