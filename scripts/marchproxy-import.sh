#!/usr/bin/env bash
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail
# The key is in a variable here: whoever traces a whole pipeline does not want it in the log.
set +x

readonly DEFAULT_API=http://localhost:8000
readonly DEFAULT_FILE=config/marchproxy/import-config.json
readonly CONNECT_SECONDS=10
# Servers were seen that answer nothing for 30 s, and then do what they were asked.
readonly ANSWER_SECONDS=120

readonly EX_SETTING=1 EX_USAGE=2 EX_FILE=3 EX_UNREACHED=4 EX_KEY=5 EX_NO_BULK=6 EX_REFUSED=7 EX_UNCERTAIN=8

usage() {
    cat <<USAGE
Usage: marchproxy-import.sh [FILE]

Import services and mappings into MarchProxy, for machines without Ansible.
Needs bash and curl. FILE is $DEFAULT_FILE by default.

It calls the documented bulk endpoint, POST /api/v1/services/import, and nothing
else. A server without it needs the module tripod.baremetal.marchproxy_import
(ansible-playbook tripod.baremetal.gateway), which takes the services one by one.

Environment:
  MARCHPROXY_API        address of the API server, $DEFAULT_API by default
  CLUSTER_API_KEY       the cluster's key; required, or else:
  CLUSTER_API_KEY_FILE  a file that holds it on its first line

What the server answers is not shown, as answers hold secrets of services.

Exit status:
  0  the server accepted the file; what it holds now was not read back
  $EX_SETTING  a variable of the environment is missing or wrong
  $EX_USAGE  wrong arguments
  $EX_FILE  FILE cannot be read or is no import file
  $EX_UNREACHED  curl is missing, or nothing was sent: no connection, no trusted certificate
  $EX_KEY  the server does not take the key (401, 403)
  $EX_NO_BULK  the server has no bulk endpoint (404, 405, 501)
  $EX_REFUSED  the server refused the file (400, 409, 413, 415, 422), the rate (429) or sends
     elsewhere (3xx, not followed); it imported nothing, or should not have
  $EX_UNCERTAIN  the outcome is not certain: no answer, a part of the services (207) or a
     failure of the server (5xx), which may have stored some; run it again
USAGE
}

# fail STATUS WORDS...
fail() {
    local status=$1
    shift
    printf 'Error: %s\n' "$*" >&2
    exit "$status"
}

# Prints a value as curl's configuration takes it.
quoted() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

read_key() {
    local file=${CLUSTER_API_KEY_FILE:-}
    if [[ -n ${CLUSTER_API_KEY:-} && -n $file ]]; then
        fail $EX_SETTING "CLUSTER_API_KEY and CLUSTER_API_KEY_FILE are both set: unset one of them"
    fi
    key=${CLUSTER_API_KEY:-}
    if [[ -n $file ]]; then
        [[ -r $file && ! -d $file ]] || fail $EX_SETTING "CLUSTER_API_KEY_FILE: $file cannot be read"
        # The last line of a file may have no newline.
        IFS= read -r key <"$file" || [[ -n $key ]] || fail $EX_SETTING "CLUSTER_API_KEY_FILE: $file is empty"
    fi
    [[ -n $key ]] || fail $EX_SETTING "CLUSTER_API_KEY environment variable required (or CLUSTER_API_KEY_FILE)"
    # A line break in it would end the header, and begin another.
    [[ $key != *[![:graph:]]* ]] || fail $EX_SETTING "the cluster's key holds a blank, a line break or a control character"
    unset CLUSTER_API_KEY
}

check_api() {
    api=${MARCHPROXY_API:-$DEFAULT_API}
    # Not repeated in the message: it may hold a password.
    [[ $api != *@* ]] || fail $EX_SETTING "MARCHPROXY_API holds an @: the server takes the key, not a user in its address"
    while [[ $api == */ ]]; do api=${api%/}; done
    [[ $api =~ ^https?://[^/]+ && $api != *[[:space:][:cntrl:]\"\\?#]* && $api != */api/v1 ]] ||
        fail $EX_SETTING "MARCHPROXY_API '$api' is no address of a server (without /api/v1), such as $DEFAULT_API"
    if [[ $api == http://* && ! $api =~ ^http://(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?(/.*)?$ ]]; then
        printf 'Warning: %s\n' "the key goes to $api unencrypted; use https where others can listen" >&2
    fi
}

check_file() {
    [[ -f $file ]] || fail $EX_FILE "$file is not there: ansible-playbook tripod.baremetal.gateway renders it"
    [[ -r $file ]] || fail $EX_FILE "$file cannot be read"
    local text
    text=$(<"$file") || fail $EX_FILE "$file cannot be read"
    # No parser is at hand: this finds the empty file, the wrong one, and most that were cut off.
    [[ $text =~ ^[[:space:]]*\{ && $text =~ \}[[:space:]]*$ && $text == *'"services"'* ]] ||
        fail $EX_FILE "$file is no import file: it must be a JSON object with \"services\""
}

# Sends the file; sets code to the HTTP status (000 without an answer), sent to the bytes of the file that left, and
# reason to what curl says.
import() {
    local mark=outcome said
    # By standard input, as everybody sees arguments. A configuration of the user's own (-q) could log headers or follow
    # redirects with the key; proxies and certificates in the environment count.
    said=$(
        {
            printf 'url = %s\n' "$(quoted "$api/api/v1/services/import")"
            printf 'header = %s\n' "$(quoted "Authorization: Bearer $key")"
        } | curl -q --config - --request POST --data-binary "@$file" \
            --header 'Content-Type: application/json' --header 'Accept: application/json' --header 'Expect:' \
            --silent --show-error --proto '=http,https' --output /dev/null \
            --connect-timeout "$CONNECT_SECONDS" --max-time "$ANSWER_SECONDS" \
            --write-out "\n$mark %{http_code} %{size_upload}\n" 2>&1
    ) || true
    code=000 sent=0
    [[ $said =~ $mark\ ([0-9]{3})\ ([0-9]+) ]] && code=${BASH_REMATCH[1]} sent=${BASH_REMATCH[2]}
    reason=${said%%$'\n'*}
    reason=${reason#curl: }
}

main() {
    case ${1:-} in
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && fail $EX_USAGE "unknown option $1" ;;
    esac
    (($# <= 1)) || { usage >&2 && fail $EX_USAGE "one FILE at most, $# were given"; }
    file=${1:-$DEFAULT_FILE}

    read_key
    check_api
    check_file
    command -v curl >/dev/null || fail $EX_UNREACHED "curl is not installed"
    import

    case $code in
        200 | 201 | 202 | 204)
            printf 'MarchProxy configuration imported\n'
            printf 'The server accepted %s (HTTP %s); what it holds now was not read back.\n' "$file" "$code"
            ;;
        207) fail $EX_UNCERTAIN "the server took a part of the services (207), and does not say which without showing secrets" ;;
        401 | 403) fail $EX_KEY "the server at $api does not take the cluster's key (HTTP $code); nothing was imported" ;;
        404 | 405 | 501)
            fail $EX_NO_BULK "the server at $api has no bulk endpoint (HTTP $code to POST /api/v1/services/import), and this script" \
                "knows no other way: use the module tripod.baremetal.marchproxy_import (ansible-playbook tripod.baremetal.gateway)," \
                "which creates and updates the services one by one; nothing was imported"
            ;;
        000)
            ((sent > 0)) || fail $EX_UNREACHED "$api was not reached: $reason; nothing was sent"
            fail $EX_UNCERTAIN "$api gave no answer: $reason; the file was sent, so it may be imported: run this again"
            ;;
        3??) fail $EX_REFUSED "the server at $api sends elsewhere (HTTP $code), which is not followed with the key: set MARCHPROXY_API to where it is" ;;
        4??) fail $EX_REFUSED "the server at $api refused $file (HTTP $code)" ;;
        *) fail $EX_UNCERTAIN "the server at $api failed (HTTP $code); it may have stored some services all the same: see its log, and run this again" ;;
    esac
}

main "$@"
