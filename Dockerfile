# One image for every process; docker-compose.yml gives each its command.
# The base can be pinned by digest: docker build --build-arg PYTHON_IMAGE=python:3.12-slim@sha256:...
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/llmqueue
COPY requirements.txt /tmp/requirements.txt
# Wheels only: nothing is compiled, so the image needs no compiler.
RUN /opt/llmqueue/bin/pip install --require-hashes --no-deps --only-binary :all: \
        -r /tmp/requirements.txt \
    && /opt/llmqueue/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="llmqueue" \
      org.opencontainers.image.description="A durable priority queue for LLM requests" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/llmqueue/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LLMQUEUE_ENVIRONMENT=production \
    LLMQUEUE_LOG_FORMAT=json \
    LLMQUEUE_STATE_DIR=/var/lib/llmqueue
RUN groupadd --system --gid 10001 llmqueue \
    && useradd --system --uid 10001 --gid llmqueue --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin llmqueue \
    && install -d -o llmqueue -g llmqueue /var/lib/llmqueue /run/llmqueue
WORKDIR /srv/llmqueue
COPY --from=build /opt/llmqueue /opt/llmqueue
COPY . .
# Static files need no collecting: whitenoise serves them from the installed packages.
RUN python -m compileall -q /srv/llmqueue
USER llmqueue
EXPOSE 8000 9101
STOPSIGNAL SIGTERM
CMD ["granian", "--interface", "asgi", "--host", "0.0.0.0", "--port", "8000", "llmqueue_project.asgi:application"]
