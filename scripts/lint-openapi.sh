#!/usr/bin/env bash
# Lints the OpenAPI documents with Redocly, and with Spectral's own rules and those of OWASP; neither an error nor a warning
# passes.
set -euo pipefail

cd "$(dirname "$0")/.."
tools=.ci/tools
"$tools/install.sh"
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

documents=(openapi/openapi.json openapi/openapi-3.0.json)
# The older document is made from the other one, so the rules on what the API does hold for it too.
"$tools/node_modules/.bin/redocly" lint --config "$tools/redocly.yaml" --max-problems 1000 "${documents[@]}"
"$tools/node_modules/.bin/spectral" lint --ruleset "$tools/.spectral.mjs" --fail-severity hint "${documents[0]}"
