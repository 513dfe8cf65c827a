#!/usr/bin/env bash
# Installs the tools of package-lock.json, unless that has been done since it last changed.
set -euo pipefail

cd "$(dirname "$0")"
installed=node_modules/.package-lock.json
if [[ ! -e $installed || $installed -ot package-lock.json ]]; then
    npm ci --no-audit --no-fund --loglevel=error >&2
    touch "$installed"
fi
