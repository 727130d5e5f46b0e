# The receiver in C that a worker of go-backend is weighed beside, of Debian's libxdp and libbpf: one file that any host runs.
# Built with tests/bench as its context.
ARG BUILD_BASE=debian:stable-slim
FROM ${BUILD_BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libbpf-dev libc6-dev libelf-dev libxdp-dev libzstd-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY afxdp_receiver.c /src/
# Debian 13's libelf.a refers to functions of elfutils' own library, which is not packaged. They serve who reads ELF files, which
# nothing does here; it would end by SIGABRT.
RUN gcc -O2 -Wall -Wextra -Werror -static -o /receiver /src/afxdp_receiver.c -lxdp -lbpf -lelf -lz -lzstd \
        -Wl,--defsym=eu_search_tree_init=abort -Wl,--defsym=eu_search_tree_fini=abort
CMD ["/receiver"]
