# Proves that the committed gRPC code is what files/proto/generate.py makes. Built with files/ as its context.
ARG BUILD_BASE=debian:stable-slim
FROM ${BUILD_BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends golang-go python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY proto/requirements.txt /src/proto/requirements.txt
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir -r /src/proto/requirements.txt
COPY proto /src/proto
COPY services/flask-backend/tripod_api/gen /src/services/flask-backend/tripod_api/gen
COPY services/go-backend/gen /src/services/go-backend/gen
RUN /venv/bin/python /src/proto/generate.py --check
