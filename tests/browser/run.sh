#!/usr/bin/env bash
# Drives the built-in pages and a frontend of another origin in a headless Chromium, against the real server, whose mails
# go to a directory. Installs Chromium where apt-get can; leaves screenshots in target/browser.
set -euo pipefail

cd "$(dirname "$0")/../.."
.ci/tools/install.sh

find_chromium() { command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome; }
if ! find_chromium >/dev/null; then
    command -v apt-get >/dev/null || { echo 'install Chromium first, or set CHROMIUM to its path' >&2; exit 1; }
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends chromium fonts-dejavu-core </dev/null
fi
CHROMIUM=$(find_chromium)
export CHROMIUM

cargo build --quiet --bin mintage
MINTAGE=$(cargo metadata --format-version 1 --no-deps |
    node -p 'JSON.parse(require("node:fs").readFileSync(0, "utf8")).target_directory')/debug/mintage
export MINTAGE
command -v curl >/dev/null || { echo 'install curl first: a test runs the commands of the start page' >&2; exit 1; }
exec node --test --test-concurrency=1 --test-reporter=spec tests/browser/*.test.mjs
