# One image for every part of Assay that runs in a cluster; the pod's command picks the part:
#   python -m assay.controllers   the operator
#   python -m assay.recorder      the sidecar of a run
#   python -m assay.fetch         the init container of a server, or of a run with data sets
#   python -m assay.server        the web application
#
# BASE_IMAGE: anything with a `python` (>= 3.11) that has the venv module.
# VERSION, REVISION, CREATED: what the labels say of the build. They change no layer.
# Two optional build secrets, pip.conf and ca.pem, let pip reach a package index behind a proxy or a
# private CA. They are mounted for one command and are part of no layer.
ARG BASE_IMAGE=python:3.12-slim

# pip and the build backend live in /opt/build, which stays behind; /opt/assay is what ships.
FROM ${BASE_IMAGE} AS tools
COPY .locks/build.txt /opt/locks/
RUN --mount=type=secret,id=pip.conf,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca.pem,target=/run/secrets/ca.pem \
    set -eu; export PIP_CONFIG_FILE=/run/secrets/pip.conf; \
    python -m venv /opt/build; \
    /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r /opt/locks/build.txt

# Of the generated Kubernetes client, with a module for every type of every kind, the bytecode alone is kept: 40 MB less.
# CEL's extensions, which no gate can use, and what libraries test themselves with stay behind: 43 MB less. So does the
# database that Optuna keeps studies in, which it imports only to open one: the server keeps none. 33 MB less.
FROM tools AS dependencies
COPY .locks/runtime.txt /opt/locks/
RUN --mount=type=secret,id=pip.conf,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca.pem,target=/run/secrets/ca.pem \
    set -eu; export PIP_CONFIG_FILE=/run/secrets/pip.conf; \
    python -m venv --without-pip /opt/assay; \
    /opt/build/bin/pip --python /opt/assay/bin/python install --quiet --no-cache-dir --no-compile \
      --require-hashes --only-binary :all: -r /opt/locks/runtime.txt; \
    packages=$(/opt/assay/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))'); client="$packages/kubernetes"; \
    rm -r "$packages/cel_expr_python/ext" "$packages/Crypto/SelfTest" "$packages/websocket/tests"; \
    rm -r "$packages/sqlalchemy" "$packages/alembic" "$packages/mako"; \
    find "$packages/numpy" -type d -name tests -prune -exec rm -r {} +; \
    /opt/assay/bin/python -m compileall -q -b -j 0 --invalidation-mode unchecked-hash "$client"; \
    find "$client" -name '*.py' -delete; \
    /opt/assay/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/assay/lib

# The project alone, in a tree of the same shape, so that a change of code is one small layer. Without the command line,
# which runs on people's machines: .dockerignore leaves its code out, and here its two commands go.
FROM tools AS project
COPY . /opt/source
RUN set -eu; \
    /opt/build/bin/pip install --quiet --no-cache-dir --no-compile --no-deps --no-index --no-build-isolation \
      --prefix /opt/project /opt/source; \
    rm -r /opt/project/bin; \
    python -m compileall -q --invalidation-mode unchecked-hash -s /opt/project -p /opt/assay /opt/project/lib

FROM ${BASE_IMAGE}
ENV PATH=/opt/assay/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, because runAsNonRoot cannot judge a name. Nothing is written outside of mounted volumes.
USER 65532:65532
COPY --from=dependencies --chown=0:0 /opt/assay /opt/assay
COPY --from=project --chown=0:0 /opt/project /opt/assay
CMD ["python", "-m", "assay.controllers"]
ARG BASE_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="assay" \
      org.opencontainers.image.description="Kubernetes operator for machine-learning experiments, and its recorder" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
