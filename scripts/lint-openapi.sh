#!/usr/bin/env bash
# Lints openapi/openapi.json with Redocly and Spectral; neither an error nor a warning passes.
set -euo pipefail

cd "$(dirname "$0")/.."
tools=.ci/tools
document=openapi/openapi.json
"$tools/install.sh"
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

"$tools/node_modules/.bin/redocly" lint --config "$tools/redocly.yaml" --max-problems 1000 "$document"
"$tools/node_modules/.bin/spectral" lint --ruleset "$tools/.spectral.yaml" --fail-severity hint "$document"
