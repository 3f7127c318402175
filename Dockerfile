# Two images from one file:
#   docker build --target service -t magnet-service .    serves; no torch, no compiler, no root
#   docker build --target trainer -t magnet-trainer .    trains, exports and publishes; with
#       --entrypoint /cron/bin/yacron and -c deploy/cron.yaml it retrains by schedule
# For more than 100,000 items the service searches an index if that is installed:
#   docker build --target service --build-arg EXTRAS=large -t magnet-service .
# The trainer's torch is the CPU build if its index is named:
#   docker build --target trainer --build-arg TORCH_INDEX=<PyTorch's CPU index> -t magnet-trainer .

FROM python:3.11-slim AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/venv/bin:$PATH
WORKDIR /app
RUN useradd --create-home --uid 10001 magnet

FROM base AS service-packages
ARG EXTRAS=""
COPY pyproject.toml constraints.txt ./
COPY deploy/requirements.py deploy/
RUN python -m venv /venv \
    && python deploy/requirements.py service $EXTRAS > requirements.txt \
    && pip install -r requirements.txt -c constraints.txt

FROM base AS trainer-packages
ARG TORCH_INDEX=""
COPY pyproject.toml constraints.txt ./
COPY deploy/requirements.py deploy/
RUN python -m venv /venv \
    && python deploy/requirements.py training > requirements.txt \
    && pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
        -r requirements.txt -c constraints.txt

FROM base AS cron-packages
COPY deploy/cron-requirements.txt deploy/
RUN python -m venv /cron && /cron/bin/pip install -r deploy/cron-requirements.txt

# What is in the images, as CycloneDX: docker run --rm --entrypoint cat IMAGE /app/sbom.cdx.json
FROM base AS supply-tools
COPY deploy/supply-requirements.txt deploy/
RUN python -m venv /supply && /supply/bin/pip install -r deploy/supply-requirements.txt

FROM service-packages AS service-components
COPY --from=supply-tools /supply /supply
RUN /supply/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.cdx.json /venv

FROM trainer-packages AS trainer-components
COPY --from=supply-tools /supply /supply
RUN /supply/bin/cyclonedx-py environment --output-reproducible --output-file /sbom.cdx.json /venv

# The inner loops of the search. This image has a compiler.
FROM python:3.11 AS kernels
WORKDIR /kernels
COPY model/runtime/native ./
RUN python build.py

FROM base AS service
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="magnet-service" \
      org.opencontainers.image.description="Serves explained multimodal recommendations" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=service-packages /venv /venv
COPY --from=service-components /sbom.cdx.json ./
COPY model/__init__.py model/
COPY model/artifact model/artifact
COPY model/registry model/registry
COPY model/runtime model/runtime
COPY --from=kernels /kernels model/runtime/native
COPY model/tracing model/tracing
COPY service service
# `magnet` for those who operate: serve, keys, status, doctor, and which version is live.
COPY training/__init__.py training/errors.py training/
COPY training/cli/__init__.py training/cli/options.py training/cli/
COPY training/publish training/publish
COPY deploy/__init__.py deploy/
COPY deploy/cli deploy/cli
COPY deploy/magnet /venv/bin/
RUN install --directory --owner=magnet --mode=700 /models
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
# Others can reach 0.0.0.0, so it starts only with MAGNET_KEYS_FILE, MAGNET_KEYS or
# MAGNET_ALLOW_ANONYMOUS=true.
CMD ["magnet", "serve", "--host", "0.0.0.0", "--port", "8000", "--graceful-timeout", "20"]

FROM base AS trainer
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="magnet-trainer" \
      org.opencontainers.image.description="Trains, exports and publishes MAGNET models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=trainer-packages /venv /venv
COPY --from=trainer-components /sbom.cdx.json ./
COPY --from=cron-packages /cron /cron
COPY model model
COPY training training
COPY deploy/__init__.py deploy/retrain.toml deploy/cron.yaml deploy/
COPY deploy/cli deploy/cli
COPY deploy/magnet /venv/bin/
COPY deploy/local/__init__.py deploy/local/sample.py deploy/local/
RUN install --directory --owner=magnet /data
USER 10001
VOLUME /data
ENTRYPOINT ["magnet"]
CMD ["--help"]
