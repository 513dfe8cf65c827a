#!/usr/bin/env bash
# Lints the OpenAPI documents with Redocly, and with Spectral's own rules and those of OWASP; neither an error nor a warning
# passes.
set -euo pipefail

cd "$(dirname "$0")/.."
tools=.ci/tools
"$tools/install.sh"
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

documents=(openapi/openapi.json openapi/openapi-3.0.json)
"$tools/node_modules/.bin/redocly" lint --config "$tools/redocly.yaml" --max-problems 1000 "${documents[@]}"
# Limits of nullable values are checked in the older document only, where each schema has one type.
"$tools/node_modules/.bin/spectral" lint --ruleset "$tools/.spectral.mjs" --fail-severity hint "${documents[@]}"
