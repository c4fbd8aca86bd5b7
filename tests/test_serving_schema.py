"""schemathesis asks all that the OpenAPI allows and forbids, and finds nothing wrong."""

import sys

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from serving_process import serving, write_model
from video_files import numbered_frames, write_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    model = write_model(folder / "model.safetensors")
    with serving(folder, f"tiny={model}", "--workers=1", "--max_time_s=20") as running:
        yield running


@pytest.fixture
def api(server, tmp_path):
    video = write_video(tmp_path / "clip.mp4", numbered_frames(8)).read_bytes()
    schemathesis.openapi.format("binary", st.just(video))
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
def test_the_api_is_as_it_is_described(case):
    case.call_and_validate()
