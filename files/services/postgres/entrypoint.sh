#!/bin/sh
# Makes the cluster at the first start, the application's account and database at every start, then becomes PostgreSQL.
#
# PGDATA is the volume. The cluster is a directory in it, named by the major version: it appears there by one rename, so a
# start that was cut short leaves no half of one, and a newer major version finds the old cluster where pg_upgrade wants it.
set -eu
umask 077

settings=/etc/tripod-postgres
socket=/run/postgresql
major=$(postgres --version | sed 's/.* \([0-9]*\)\..*/\1/')
cluster="$PGDATA/$major"

fail() {
    printf 'postgres: %s\n' "$*" >&2
    exit 1
}

# name VARIABLE VALUE
name() {
    case $2 in
        '') fail "$1 is not set" ;;
        postgres | template[01] | pg_* | [!a-z_]* | *[!a-z0-9_]*)
            fail "$1 is '$2': expected lower-case letters, digits and _, and none of PostgreSQL's own names" ;;
    esac
    [ "${#2}" -le 63 ] || fail "$1 is '$2': at most 63 characters are allowed"
}

check() {
    name DB_NAME "${DB_NAME:-}"
    name DB_USER "${DB_USER:-}"
    [ -n "${DB_PASSWORD_FILE:-}" ] || fail "DB_PASSWORD_FILE is not set; it names the file that holds $DB_USER's password"
    [ -r "$DB_PASSWORD_FILE" ] || fail "DB_PASSWORD_FILE: cannot read $DB_PASSWORD_FILE as uid $(id -u)"
    [ "$(wc -c <"$DB_PASSWORD_FILE")" -ge 12 ] || fail "DB_PASSWORD_FILE: $DB_PASSWORD_FILE holds less than 12 bytes"
    if [ ! -d "$PGDATA" ] || [ ! -w "$PGDATA" ]; then
        fail "PGDATA: $PGDATA is no directory that uid $(id -u) may write"
    fi
    [ -w "$socket" ] || fail "$socket is not writable by uid $(id -u); mount a tmpfs there"
}

# PostgreSQL takes a lock file of process 1 for its own left-over, and in every container it is process 1. This lock is the
# kernel's, and PostgreSQL inherits it.
lock() {
    exec 9>>"$PGDATA/.lock"
    flock --nonblock 9 || fail "$PGDATA is in use by another container; stop that one first"
}

create() {
    [ ! -e "$cluster/PG_VERSION" ] || return 0
    [ ! -e "$cluster" ] || fail "$cluster exists but is no cluster; move it away, or restore it from a backup"
    for other in "$PGDATA" "$PGDATA"/[0-9]*; do
        [ ! -e "$other/PG_VERSION" ] ||
            fail "$other holds a cluster of version $(cat "$other/PG_VERSION") that this image ($major) did not make; bring it" \
                "over with pg_upgrade or pg_dump, or give this container an empty volume"
    done
    # What is left of an interrupted initdb was never started, so nobody's data is in it.
    rm -rf "$PGDATA/.initdb"
    # The builtin locale sorts alike under every C library, so a newer base image does not corrupt indexes.
    initdb --pgdata="$PGDATA/.initdb" --username=postgres --data-checksums --encoding=UTF8 \
        --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 \
        --auth-local=peer --auth-host=scram-sha-256 >/dev/null
    mv "$PGDATA/.initdb" "$cluster"
    sync "$PGDATA"
    printf 'postgres: made a cluster of version %s in %s\n' "$major" "$cluster"
}

# The account's password is set at every start, so that a new one in the file takes effect. Nobody can connect meanwhile: the
# server listens on no address, and its socket takes only this user.
provide() {
    pg_ctl --pgdata="$cluster" --silent --wait --timeout=3600 start \
        --options="-c listen_addresses='' -c hba_file=$settings/pg_hba.conf -c unix_socket_directories=$socket" >&2 ||
        fail "the cluster in $cluster does not start; its messages are above"
    # A statement that fails is not to be logged: one of them holds the password.
    PGOPTIONS='-c log_min_error_statement=panic -c log_statement=none -c client_min_messages=warning' \
        psql --host="$socket" --username=postgres --dbname=postgres --no-psqlrc --quiet --file="$settings/provide.sql" \
        --set=ON_ERROR_STOP=1 --output=/dev/null ||
        failed=$?
    pg_ctl --pgdata="$cluster" --silent --wait --mode=fast stop
    [ -z "${failed:-}" ] || fail "cannot provide role $DB_USER and database $DB_NAME; the reason is above"
}

# Process 1 ignores what it does not handle.
trap 'exit 130' INT TERM
check
lock
create
provide
exec postgres -D "$cluster" \
    -c listen_addresses='*' \
    -c hba_file="$settings/pg_hba.conf" \
    -c password_encryption=scram-sha-256 \
    -c unix_socket_directories="$socket" \
    "$@"
