# The receiver in C that a worker of go-backend is weighed beside, of Debian's libxdp and libbpf: one file that any host runs.
# Built with tests/bench as its context.
ARG BUILD_BASE=debian:stable-slim
FROM ${BUILD_BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libbpf-dev libc6-dev libelf-dev libxdp-dev libzstd-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY afxdp_receiver.c /src/
RUN gcc -O2 -Wall -Wextra -Werror -static -o /receiver /src/afxdp_receiver.c -lxdp -lbpf -lelf -lz -lzstd
CMD ["/receiver"]
