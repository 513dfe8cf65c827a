#!/usr/bin/env bash
# Sends requests that schemathesis derives from openapi/openapi.json to the real server, on an embedded database in a
# temporary directory: as a user, then as an admin, each with a fixed seed and a limit of time. Then reads the metrics of
# all these requests. Needs schemathesis and prometheus-client (.ci/tools/requirements.txt). Arguments go to schemathesis.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
cargo build --quiet --locked --bin mintage
target=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

work=$(mktemp -d)
server=
stop() {
    status=$?
    trap - EXIT
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if ((status != 0)); then
        echo "--- the server's log" >&2
        tail -n 40 "$work/log" >&2
    fi
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Started by root, the database runs as another user, who has to get to its directory.
chmod 755 "$work"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
metrics=$(free_port)
export MINTAGE_URL=http://127.0.0.1:$port
# No setting of the caller's, neither from the environment nor from a .env file.
command=(env -i -C "$work" PATH="$PATH" HOME="${HOME:-/}" DATA_DIR="$work/data" BIND="127.0.0.1:$port"
    METRICS_BIND="127.0.0.1:$metrics" COINS_PROVIDERS=demo SOCIAL_PROVIDERS=none RATE_LIMITS=off BCRYPT_COST=4
    MAIL_TRANSPORT=file MAIL_DIR="$work/mails" LOG_LEVEL="info,mintage::http=warn" "$target/debug/mintage")
MINTAGE_COMMAND=$(python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "${command[@]}")
export MINTAGE_COMMAND

"${command[@]}" serve >"$work/log" 2>&1 &
server=$!
for ((tries = 0; ; tries++)); do
    kill -0 "$server" 2>/dev/null || { echo "the server has stopped" >&2; exit 1; }
    python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1])' "$MINTAGE_URL/readyz" 2>/dev/null && break
    ((tries < 120)) || { echo "the server is not ready" >&2; exit 1; }
    sleep 0.5
done

# The role, and how many of the operations must have succeeded at least once: otherwise nothing was tested.
for run in user:44 admin:60; do
    export FUZZ_AS=${run%:*} REACHED=$work/reached
    echo "== as $FUZZ_AS"
    SCHEMATHESIS_HOOKS=$root/tests/schemathesis/hooks.py schemathesis \
        --config-file tests/schemathesis/schemathesis.toml run openapi/openapi.json --url "$MINTAGE_URL" \
        --seed 12 --max-time "${FUZZ_SECONDS:-80}" --workers 1 --no-color "$@"
    reached=$(wc -l <"$REACHED")
    echo "$reached operations succeeded at least once"
    ((reached >= ${run#*:})) || { echo "at least ${run#*:} were expected" >&2; exit 1; }
done
scripts/check-metrics.py "http://127.0.0.1:$metrics/metrics"
