# The service on a CPU, with the model that ships inside the package.
#
#     docker build -t evenface .
#     docker run --rm -p 8000:8000 -e EVENFACE_TOKEN=... --read-only --memory 4g evenface
#     docker run --rm -p 8000:8000 -e EVENFACE_TOKEN=... -v ./runs/first:/model:ro evenface --model /model
#
# PyTorch's usual wheels carry CUDA, some gigabytes. Name an index with its CPU wheels to leave that out:
#     docker build --build-arg PIP_EXTRA_INDEX_URL=... -t evenface .
# tests/serve/test_docker.py runs these steps without Docker.

FROM python:3.12-slim AS build
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
RUN python -m venv /opt/evenface
COPY constraints.txt ./
RUN /opt/evenface/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt hatchling editables
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/evenface/bin/python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt --no-build-isolation '.[serve]'

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 evenface
COPY --from=build /opt/evenface /opt/evenface
# Few arenas: memory that decoding threads have freed goes back to the system.
ENV PATH=/opt/evenface/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2 EVENFACE_OFFLINE=1
USER evenface
WORKDIR /srv/evenface
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["evenface", "serve", "--host", "0.0.0.0", "--port", "8000"]
