# cliptide serve, on CPUs.
#
#   docker build -t cliptide .
#   docker run --rm -p 8000:8000 -v ./runs/x-1:/models:ro -e CLIPTIDE_API_KEY=... cliptide
#
# Other models or flags stand behind the image's name:
#   docker run ... cliptide fights=/models/fights.safetensors --host 0.0.0.0 --queue 128
# Keep to port 8000 within (-p maps it to any other): the health check asks there.
FROM python:3.12-slim AS build

RUN python -m venv /opt/cliptide
ENV PATH=/opt/cliptide/bin:$PATH
WORKDIR /src

# The usual build of PyTorch brings CUDA along, some 3 GB. Where an index of its CPU builds can be had
# (pytorch.org names one), the image is a fifth of the size:
#   docker build --build-arg TORCH_INDEX=<its address> -t cliptide .
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; \
    fi

COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY configs configs
COPY datasets datasets
COPY models models
# ONNX Runtime, for models that cliptide export wrote.
RUN pip install --no-cache-dir '.[serve]' onnxruntime

FROM python:3.12-slim

# Nothing is written but uploads, which have no name and vanish with the process.
RUN useradd --system --no-create-home --home-dir /nonexistent --uid 10001 cliptide
COPY --from=build /opt/cliptide /opt/cliptide
ENV PATH=/opt/cliptide/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER cliptide
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]

ENTRYPOINT ["cliptide", "serve"]
CMD ["model=/models/model.safetensors", "--host", "0.0.0.0"]
