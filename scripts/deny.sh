#!/usr/bin/env bash
# Checks the dependencies against deny.toml.
#   scripts/deny.sh [dependencies|advisories]     both without an argument
# Exits with 77 if the advisories could not be checked, because their database could not be fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/ci/bin

if ! command -v cargo-deny >/dev/null; then
    echo 'deny: cargo-deny is missing: cargo install --locked cargo-deny' >&2
    exit 1
fi

dependencies() { cargo-deny --locked check --hide-inclusion-graph licenses bans sources; }

advisories() {
    # A machine without a way to github.com must not fail, and must not look as if all were well.
    if ! timeout 120 cargo-deny --locked fetch db; then
        echo 'deny: ADVISORIES WERE NOT CHECKED: the RustSec database could not be fetched from github.com' >&2
        return 77
    fi
    cargo-deny --locked check --disable-fetch --hide-inclusion-graph advisories
}

case ${1-all} in
    dependencies | advisories) "$1" ;;
    all) dependencies && advisories ;;
    *)
        echo "deny: no such check: $1" >&2
        exit 2
        ;;
esac
