#!/usr/bin/env bash
# Checks that the Postman collections are those of the document and of Postman's format, and runs them against the real
# server: on free ports, with embedded databases in temporary directories.
set -euo pipefail

cd "$(dirname "$0")/.."

node postman/generate.mjs --check
.ci/tools/install.sh

cargo build --quiet --bin mintage
MINTAGE=$(cargo metadata --format-version 1 --no-deps |
    node -p 'JSON.parse(require("node:fs").readFileSync(0, "utf8")).target_directory')/debug/mintage
export MINTAGE
exec node --test --test-reporter=spec postman/collections.test.mjs
