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
uid=$(id -u)

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

# refuse PATH - says why this user may not use what is there, and what mends it: it may be all the data that there is.
refuse() {
    if [ -L "$1" ] && [ ! -e "$1" ]; then
        fail "$1 is a link to $(readlink "$1"), where nothing is; is the file system that it leads to mounted?"
    fi
    owner=$(stat --dereference --format=%u "$1") mode=$(stat --dereference --format=%a "$1")
    where="on the host, with this container stopped; $PGDATA stands for what is mounted there"
    [ "$owner" = "$uid" ] ||
        fail "$1 belongs to uid $owner and PostgreSQL runs as uid $uid, so its data cannot be seen; nothing was changed. If it" \
            "is this database's, as after a restore, run as root: chown -R $uid:$(id -g) $PGDATA ($where)"
    case ",$(findmnt --noheadings --output OPTIONS --target "$1")," in
        *,ro,*) fail "$1 is on a file system that is mounted read-only; mount it for writing" ;;
    esac
    needed=0600
    [ ! -d "$1" ] || needed=0700
    [ $((0$mode & needed)) -eq $((needed)) ] || fail "$1 has mode $mode; run as root: chmod -R u+rwX $1 ($where)"
    fail "$1 cannot be written by uid $uid, which owns it with mode $mode; does the server that it comes from map this user to" \
        "another (NFS: all_squash), or is it immutable (lsattr)?"
}

# usable PATH - goes on where there is nothing, or what this user may read and write.
usable() {
    if [ ! -e "$1" ]; then
        [ ! -L "$1" ] || refuse "$1"
    elif [ ! -r "$1" ] || [ ! -w "$1" ] || { [ -d "$1" ] && [ ! -x "$1" ]; }; then
        refuse "$1"
    fi
}

check() {
    name DB_NAME "${DB_NAME:-}"
    name DB_USER "${DB_USER:-}"
    [ -n "${DB_PASSWORD_FILE:-}" ] || fail "DB_PASSWORD_FILE is not set; it names the file that holds $DB_USER's password"
    [ -r "$DB_PASSWORD_FILE" ] || fail "DB_PASSWORD_FILE: cannot read $DB_PASSWORD_FILE as uid $uid"
    [ "$(wc -c <"$DB_PASSWORD_FILE")" -ge 12 ] || fail "DB_PASSWORD_FILE: $DB_PASSWORD_FILE holds less than 12 bytes"
    for part in tls.crt tls.key; do
        [ -z "${TLS_DIRECTORY:-}" ] || [ -r "$TLS_DIRECTORY/$part" ] ||
            fail "TLS_DIRECTORY: cannot read $TLS_DIRECTORY/$part as uid $uid"
    done
    usable "$PGDATA"
    [ -d "$PGDATA" ] || fail "PGDATA: $PGDATA is no directory"
    [ -w "$socket" ] || fail "$socket is not writable by uid $uid; mount a tmpfs there"
}

# PostgreSQL takes a lock file of process 1 for its own left-over, and in every container it is process 1. This lock is the
# kernel's, and PostgreSQL inherits it.
lock() {
    usable "$PGDATA/.lock"
    exec 9>>"$PGDATA/.lock"
    flock --nonblock 9 || fail "$PGDATA is in use by another container; stop that one first"
}

# Whether there is a cluster. One that is there and cannot be used is never called none: somebody would make room for a new one.
found() {
    usable "$cluster"
    [ -e "$cluster" ] || return 1
    [ -d "$cluster" ] || fail "$cluster is no directory; put a cluster there from a backup, or move it away"
    # At the top there may be settings of another owner, to be read only. Links lead to other file systems.
    closed=$(find "$cluster" -mindepth 1 \( ! -readable -o ! -writable \( -type d -o -path "$cluster/*/*" \) \) -print -quit)
    [ -z "$closed" ] || refuse "$closed"
    inner=$(find "$cluster" -mindepth 2 -maxdepth 2 -name PG_VERSION -print -quit)
    [ -z "$inner" ] || fail "the cluster in ${inner%/*} is one directory too deep; move what is in there to $cluster"
    for part in PG_VERSION global/pg_control; do
        [ -s "$cluster/$part" ] ||
            fail "$cluster has no $part, so it is not a whole cluster; restore it from a backup, or move it away to begin anew"
    done
    version=$(cat "$cluster/PG_VERSION")
    [ "$version" = "$major" ] || fail "$cluster holds a cluster of version $version; move it to $PGDATA/$version"
    mode=$(stat --dereference --format=%a "$cluster")
    [ $((0$mode & 0027)) -eq 0 ] || fail "$cluster has mode $mode, which lets others in; run as root: chmod 0700 $cluster"
}

# Refuses to make a cluster beside one that this image did not make, or that it cannot see.
alone() {
    # The directory that mkfs makes is root's, and holds what fsck finds. Links are followed; those that remain lead nowhere.
    closed=$(find -L "$PGDATA" -mindepth 1 -maxdepth 2 -name lost+found -prune \
        -o \( -type l -o -type d \( ! -readable -o ! -executable \) \) -print -quit)
    [ -z "$closed" ] || refuse "$closed"
    other=$(find -L "$PGDATA" -maxdepth 3 \( -name lost+found -o -name .initdb \) -prune -o -name PG_VERSION -print -quit)
    [ -n "$other" ] || return 0
    [ -r "$other" ] || refuse "$other"
    fail "${other%/*} holds a cluster of version $(cat "$other") that this image ($major) did not make; bring it over with" \
        "pg_upgrade or pg_dump, or give this container an empty volume"
}

create() {
    ! found || return 0
    alone
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
hba=$settings/pg_hba.conf
# With certificates nobody is let in over the network without TLS.
if [ -n "${TLS_DIRECTORY:-}" ]; then
    hba=$settings/pg_hba_tls.conf
    set -- -c ssl=on -c ssl_min_protocol_version=TLSv1.3 \
        -c ssl_cert_file="$TLS_DIRECTORY/tls.crt" -c ssl_key_file="$TLS_DIRECTORY/tls.key" "$@"
fi
exec postgres -D "$cluster" \
    -c listen_addresses='*' \
    -c hba_file="$hba" \
    -c password_encryption=scram-sha-256 \
    -c unix_socket_directories="$socket" \
    "$@"
