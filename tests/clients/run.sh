#!/usr/bin/env bash
# Verifies, introspects and revokes tokens of the real server with the libraries that people use (jose, jsonwebtoken with
# jwks-rsa, oauth4webapi, PyJWT, Authlib), and calls it with clients that are generated from the document
# (openapi-typescript with openapi-fetch, openapi-python-client, progenitor). Needs Node.js and Python 3; without them it
# fails and says so.
set -euo pipefail

cd "$(dirname "$0")/../.."
for program in node npm python3; do
    command -v "$program" >/dev/null || { echo "NOT CHECKED: $program is missing, so no library can verify tokens" >&2; exit 1; }
done

installed=tests/clients/node_modules/.package-lock.json
if [[ ! -e $installed || $installed -ot tests/clients/package-lock.json ]]; then
    (cd tests/clients && npm ci --no-audit --no-fund --loglevel=error >&2)
    touch "$installed"
fi
python3 -m venv target/clients
target/clients/bin/pip install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
PYTHON=$PWD/target/clients/bin/python
export PYTHON

generated=tests/clients/generated
rm -rf "$generated"
tests/clients/node_modules/.bin/openapi-typescript openapi/openapi.json --output "$generated/api.ts"
tests/clients/node_modules/.bin/tsc --project tests/clients/typed
# A warning is an operation or a response that the client lacks.
target/clients/bin/openapi-python-client generate --path openapi/openapi.json --config tests/clients/python.yaml \
    --meta none --output-path "$generated/mintage_client" --fail-on-warning
CARGO_PROFILE_DEV_DEBUG=0 cargo build --quiet --locked --manifest-path tests/clients/rust/Cargo.toml \
    --target-dir target/clients-rust

cargo build --quiet --bin mintage
MINTAGE=$(cargo metadata --format-version 1 --no-deps |
    node -p 'JSON.parse(require("node:fs").readFileSync(0, "utf8")).target_directory')/debug/mintage
export MINTAGE
exec node --test --test-reporter=spec tests/clients/*.test.mjs
