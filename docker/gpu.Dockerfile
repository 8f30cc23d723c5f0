# pfnr on a server with an NVIDIA GPU: the TensorRT 11.1 and Python 3.12 of NVIDIA's image, driver 580 or newer.
#   docker build -f docker/gpu.Dockerfile -t pfnr:gpu .
# Another TensorRT is another image: --build-arg BASE_IMAGE=nvcr.io/nvidia/tensorrt:25.10-py3 has 10.13.
ARG BASE_IMAGE=nvcr.io/nvidia/tensorrt:26.07-py3

FROM ${BASE_IMAGE} AS build
ENV VIRTUAL_ENV=/opt/pfnr PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CONSTRAINT=
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pfnr_runtime/ pfnr_runtime/
COPY pfnr_export/ pfnr_export/
COPY pfnr_train/ pfnr_train/
# The extra `jetson` is pfnr for a TensorRT that is already there. It is the image's own, seen through --system-site-packages: pip must neither bring nor replace it.
RUN python3 -m venv --system-site-packages "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/pip" install --only-binary :all: --constraint constraints.txt '.[jetson,ort,serve]' \
    && "$VIRTUAL_ENV/bin/python" -c "import importlib.util as u, sys; s = u.find_spec('tensorrt'); sys.exit(None if s and not s.origin.startswith(sys.prefix) else 'TensorRT must come with the base image, and does not')" \
    && "$VIRTUAL_ENV/bin/pip" uninstall --yes pip

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pfnr" \
      org.opencontainers.image.description="Plays and serves videos exported by pfnr, with TensorRT on a server." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
# An engine is executable code, so its cache is its owner's alone.
RUN groupadd --gid 10001 pfnr \
    && useradd --uid 10001 --gid pfnr --no-create-home --home-dir /var/cache/pfnr --shell /usr/sbin/nologin pfnr \
    && install --directory --owner=pfnr --group=pfnr --mode=0700 /var/cache/pfnr
VOLUME ["/var/cache/pfnr"]
COPY --from=build /opt/pfnr /opt/pfnr
ENV PATH=/opt/pfnr/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/var/cache/pfnr
WORKDIR /videos
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
# NVIDIA's entry point prints a banner on standard output, where frames may go.
ENTRYPOINT []
CMD ["pfnr-serve", "library.onnx", "--host", "0.0.0.0", "--port", "8080"]
