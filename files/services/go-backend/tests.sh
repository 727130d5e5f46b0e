#!/bin/sh
# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Run all tests with the race detector, and say what was skipped and what took long. Packages in which a test failed, two at
# most, are tried once more, and a test that passes then is named; a race is none of them, as it is a fault whoever wins it.
set -u

log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() {
    go test -race -v "$@" >"$log" 2>&1
}

tell() {
    grep -E '^(ok|FAIL)|--- SKIP|--- PASS.*\([1-9][0-9.]*s\)' "$log"
}

if run ./...; then
    tell
    exit 0
fi
cat "$log"
packages=$(awk '$1 == "FAIL" && $2 ~ /\// { print $2 }' "$log")
tests=$(awk '/^--- FAIL: / { print $3 }' "$log")
# shellcheck disable=SC2086 # one word each
set -- $packages
if [ $# -eq 0 ] || [ $# -gt 2 ] || [ -z "$tests" ] || grep -q 'DATA RACE' "$log"; then
    exit 1
fi
echo "tried once more: $*"
run -count=1 "$@" || { cat "$log"; exit 1; }
tell
for name in $tests; do
    echo "UNSTEADY $name"
done
