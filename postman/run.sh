#!/usr/bin/env bash
# Runs the Postman collection against the real server: on a free port, with an embedded database
# in a temporary directory, with an admin and a mailbox; then what is for servers that require
# confirmation against one that does. Arguments go to newman.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD

node postman/generate.mjs --check
.ci/tools/install.sh
cargo build --quiet --bin mintage
target=$(cargo metadata --format-version 1 --no-deps |
    node -p 'JSON.parse(require("node:fs").readFileSync(0, "utf8")).target_directory')

work=$(mktemp -d)
server=
mailbox=
end() {
    if [[ -n $1 ]]; then
        kill "$1" 2>/dev/null || true
        wait "$1" 2>/dev/null || true
    fi
}
stop() {
    status=$?
    trap - EXIT
    end "$server"
    end "$mailbox"
    if ((status != 0)) && [[ -s $work/log ]]; then
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

port=$(node -e '
    const server = require("node:net").createServer();
    server.listen(0, "127.0.0.1", () => {
        console.log(server.address().port);
        server.close();
    });')
base_url=http://127.0.0.1:$port

# No setting of the caller's, neither from the environment nor from a .env file.
mintage() {
    cd "$work"
    exec env -i PATH="$PATH" HOME="${HOME:-/}" DATA_DIR="$work/data" BIND="127.0.0.1:$port" COINS_PROVIDERS=demo \
        MAIL_TRANSPORT=file MAIL_DIR="$work/mails" REQUIRE_CONFIRMATION="$require_confirmation" \
        "$target/debug/mintage" "$@"
}

ready() {
    node -e 'fetch(process.argv[1]).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))' \
        "$base_url/readyz"
}
start() {
    require_confirmation=$1
    end "$server"
    mintage serve >"$work/log" 2>&1 &
    server=$!
    for ((tries = 0; ; tries++)); do
        kill -0 "$server" 2>/dev/null || { echo "the server has stopped" >&2; exit 1; }
        ready && break
        ((tries < 120)) || { echo "the server is not ready" >&2; exit 1; }
        sleep 0.5
    done
}

mkfifo "$work/mailbox"
node postman/mailbox.mjs "$work/mails" >"$work/mailbox" &
mailbox=$!
read -r mailbox_url <"$work/mailbox"

start off

admin_email=admin@example.com
admin_password=$(node -p 'require("node:crypto").randomBytes(18).toString("base64url")')
(mintage create-admin --email "$admin_email" --password-stdin) <<<"$admin_password"

newman() {
    "$root/.ci/tools/node_modules/.bin/newman" run postman/mintage.postman_collection.json \
        --environment postman/mintage.postman_environment.json \
        --env-var "base_url=$base_url" \
        --env-var "admin_email=$admin_email" \
        --env-var "admin_password=$admin_password" \
        --env-var "mailbox_url=$mailbox_url" \
        --env-var "require_confirmation=$require_confirmation" \
        --timeout-request 15000 --color off "$@"
}

newman "$@"
start on
newman --folder 'mail: where confirmation is required' "$@"
