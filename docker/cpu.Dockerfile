# pfnr on any CPU, x86-64 or aarch64: ONNX Runtime, no torch, no onnx. From the repository's root:
#   docker build -f docker/cpu.Dockerfile -t pfnr:cpu .
ARG BASE_IMAGE=docker.io/library/python:3.12.11-slim-bookworm@sha256:519591d6871b7bc437060736b9f7456b8731f1499a57e22e6c285135ae657bf7

FROM ${BASE_IMAGE} AS build
ENV VIRTUAL_ENV=/opt/pfnr PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CONSTRAINT=
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pfnr_runtime/ pfnr_runtime/
COPY pfnr_export/ pfnr_export/
COPY pfnr_train/ pfnr_train/
RUN python3 -m venv "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/pip" install --only-binary :all: --constraint constraints.txt '.[ort,serve]' \
    && "$VIRTUAL_ENV/bin/pip" check \
    && "$VIRTUAL_ENV/bin/pip" uninstall --yes pip

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pfnr" \
      org.opencontainers.image.description="Plays and serves videos exported by pfnr, on a CPU." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
RUN groupadd --gid 10001 pfnr \
    && useradd --uid 10001 --gid pfnr --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pfnr
COPY --from=build /opt/pfnr /opt/pfnr
ENV PATH=/opt/pfnr/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /videos
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["pfnr-serve", "library.onnx", "--host", "0.0.0.0", "--port", "8080"]
