#!/bin/sh
# Runs cargo test and prints one line that sums up all test binaries. Fails also if no test ran.
set -u

# The tests of the API mostly wait: for the database, for a server that starts, for a condition.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-4}"

log=$(mktemp)
trap 'rm -f "$log" "$log.status"' EXIT
{
    cargo test --no-fail-fast "$@"
    echo "$?" >"$log.status"
} | tee "$log"
status=$(cat "$log.status")

awk -v status="$status" '
    /^test result: / { passed += $4; failed += $6 }
    END {
        if (status != 0 && !failed) print "cargo test failed, though no test did"
        if (!passed && !failed) { print "no test ran"; if (!status) status = 1 }
        printf "%d passed, %d failed\n", passed, failed
        exit status
    }' "$log"
