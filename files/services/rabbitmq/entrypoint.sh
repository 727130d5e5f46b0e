#!/bin/sh
# Writes what RabbitMQ is told of this container, and becomes RabbitMQ.
#
# /var/lib/rabbitmq is the volume. The node has a name that no container changes, as its data is found by it.
set -eu
umask 077

settings=/etc/rabbitmq
# shellcheck source=rabbitmq-env.conf
. "$settings/rabbitmq-env.conf"
export ERL_LIBS="$RABBITMQ_PLUGINS_DIR"
run=$HOME
data=$RABBITMQ_MNESIA_BASE
uid=$(id -u)
# What a start writes before anything is served (MiB). Without it Mnesia ends in the middle, in two hundred lines.
least=32

fail() {
    printf 'rabbitmq: %s\n' "$*" >&2
    exit 1
}

# number VARIABLE VALUE LEAST MOST
number() {
    case $2 in
        '') fail "$1 is not set" ;;
        *[!0-9]*) fail "$1 is '$2', and a number is needed" ;;
    esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        fail "$1 is $2: expected $3 to $4"
    fi
}

# name VARIABLE VALUE
name() {
    case $2 in
        *[!a-z0-9-]* | -*) fail "$1 has '$2': expected lower-case letters, digits and -" ;;
    esac
    [ "${#2}" -le 63 ] || fail "$1 has '$2': at most 63 characters are allowed"
}

# refuse PATH - says why this user may not use what is there, and what mends it.
refuse() {
    owner=$(stat --format=%u "$1")
    [ "$owner" = "$uid" ] ||
        fail "$1 belongs to uid $owner and RabbitMQ runs as uid $uid; nothing was changed. If it is this broker's, as after a" \
            "restore, run as root: chown -R $uid:$(id -g) $data (on the host, with this container stopped; $data stands for" \
            "what is mounted there)"
    fail "$1 cannot be written by uid $uid; is its file system mounted for writing, and its mode $(stat --format=%a "$1") right?"
}

check() {
    number MQ_PORT "${MQ_PORT:-}" 1 65535
    [ -n "${MQ_VHOST:-}" ] || fail "MQ_VHOST is not set"
    name MQ_VHOST "$MQ_VHOST"
    [ -n "${MQ_CLIENTS:-}" ] || fail "MQ_CLIENTS is not set; it names who may connect, by the names in their certificates"
    for client in $MQ_CLIENTS; do
        name MQ_CLIENTS "$client"
    done
    case ${MQ_DISK_FREE:-} in
        [1-9]*[0-9][KMG] | [1-9][KMG]) ;;
        *) fail "MQ_DISK_FREE is '${MQ_DISK_FREE:-}': expected a number with K, M or G, such as 512M" ;;
    esac
    [ -n "${TLS_DIRECTORY:-}" ] || fail "TLS_DIRECTORY is not set; it has tls.key, tls.crt and ca.crt"
    for part in tls.key tls.crt ca.crt; do
        [ -r "$TLS_DIRECTORY/$part" ] || fail "TLS_DIRECTORY: cannot read $TLS_DIRECTORY/$part as uid $uid"
    done
    openssl x509 -in "$TLS_DIRECTORY/tls.crt" -noout -checkend 0 >/dev/null 2>&1 ||
        fail "TLS_DIRECTORY: $TLS_DIRECTORY/tls.crt is no certificate, or it has ended"
    [ "$(openssl x509 -in "$TLS_DIRECTORY/tls.crt" -noout -pubkey)" = "$(openssl pkey -in "$TLS_DIRECTORY/tls.key" -pubout)" ] ||
        fail "TLS_DIRECTORY: tls.crt is for another key than tls.key"
    [ -n "${ERLANG_COOKIE_FILE:-}" ] || fail "ERLANG_COOKIE_FILE is not set"
    [ -r "$ERLANG_COOKIE_FILE" ] || fail "ERLANG_COOKIE_FILE: cannot read $ERLANG_COOKIE_FILE as uid $uid"
    [ "$(wc -c <"$ERLANG_COOKIE_FILE")" -ge 16 ] || fail "ERLANG_COOKIE_FILE: $ERLANG_COOKIE_FILE holds less than 16 bytes"
    [ -w "$run" ] || fail "$run is not writable by uid $uid; mount a tmpfs there"
    [ -d "$data" ] || fail "$data is no directory"
    closed=$(find "$data" \( ! -readable -o ! -writable -o -type d ! -executable \) -not -name lost+found -print -quit 2>/dev/null) || true
    [ -z "$closed" ] || refuse "$closed"
    free=$(df --block-size=1M --output=avail "$data" | tail -n 1)
    [ "$free" -ge "$least" ] ||
        fail "the file system of $data has $((free)) MiB free, and a start takes $least; make room there, nothing was changed"
}

# In a container RabbitMQ is process 1 of each, so no number tells one from another. This lock is the kernel's, and Erlang
# inherits it.
lock() {
    exec 9>>"$data/.lock"
    flock --nonblock 9 || fail "$data is in use by another container; stop that one first"
}

# What the container may take, of either version of control groups; the host's where there is no limit.
memory() {
    read -r _ host _ </proc/meminfo
    limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || echo max)
    case $limit in
        max | ???????????????*) echo $((host * 1024)) ;;
        *) echo "$limit" ;;
    esac
}

tell() {
    mkdir -p "$run/conf.d"
    cp "$settings/rabbitmq.conf" "$run/conf.d/10-image.conf"
    cat >"$run/conf.d/20-container.conf" <<CONF
listeners.ssl.default = $MQ_PORT
ssl_options.certfile = $TLS_DIRECTORY/tls.crt
ssl_options.keyfile = $TLS_DIRECTORY/tls.key
ssl_options.cacertfile = $TLS_DIRECTORY/ca.crt
total_memory_available_override_value = $(memory)
vm_memory_high_watermark.relative = 0.6
disk_free_limit.absolute = $MQ_DISK_FREE
CONF
    users='' permissions=''
    for client in $MQ_CLIENTS; do
        users="$users${users:+, }{\"name\": \"$client\", \"password_hash\": \"\", \"tags\": []}"
        permissions="$permissions${permissions:+, }{\"user\": \"$client\", \"vhost\": \"$MQ_VHOST\", $rights}"
    done
    printf '{"vhosts": [{"name": "%s", "metadata": {"default_queue_type": "quorum"}}], "users": [%s], "permissions": [%s]}\n' \
        "$MQ_VHOST" "$users" "$permissions" >"$run/definitions.json"
    install -m 0400 "$ERLANG_COOKIE_FILE" "$run/.erlang.cookie"
}

# What clients may make, write to and read from: what has a name of ours. JSON takes two backslashes for one.
rights='"configure": "^tripod\\.", "write": "^tripod\\.", "read": "^tripod\\."'

# Process 1 ignores what it does not handle.
trap 'exit 130' INT TERM
check
lock
tell
# Each second Erlang looks whether a file of certificates is newer than what it read of it, instead of every two minutes. To read
# them for each connection (bypass_pem_cache) is no help: whom it trusts it would keep as long as any connection lived.
exec erl -noinput -boot start_sasl -sname "$RABBITMQ_NODENAME" -start_epmd false -erl_epmd_port "$MQ_TOOLS_PORT" \
    -kernel inet_dist_use_interface '{127,0,0,1}' -kernel prevent_overlapping_partitions false \
    +W w +pc unicode +B i +sbwt none +sbwtdcpu none +sbwtdio none +MBas ageffcbf +MHas ageffcbf +MBlmbcs 512 +MHlmbcs 512 +MMmcs 30 \
    -os_mon start_cpu_sup false -os_mon start_disksup false -os_mon start_memsup false \
    -ssl ssl_pem_cache_clean 1000 \
    -syslog logger '[]' -syslog syslog_error_logger false \
    -s rabbit boot -eval "ok = file:eval(\"$settings/accounts.erl\")"
