#!/usr/bin/env bash
# Tests check-commits.sh with good and bad messages, and with histories of its own.
set -euo pipefail

script=$(cd "$(dirname "$0")" && pwd)/check-commits.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Neither the settings of this machine nor those that git gives to hooks.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.com

count=0
expect() {
    local wanted=$1 what=$2 status=0
    shift 2
    "$@" >"$work/output" 2>&1 || status=$?
    count=$((count + 1))
    if ((status != wanted)); then
        echo "check-commits.test: $what: expected status $wanted, got $status" >&2
        cat "$work/output" >&2
        exit 1
    fi
}
message() {
    printf '%b' "$2" >"$work/message"
    expect "$1" "$2" "$script" --message "$work/message"
}
good() { message 0 "$1"; }
bad() { message 1 "$1"; }

good 'feat: add alerts'
good 'fix(coins): refuse a limit of zero'
good 'feat(auth)!: remove the cookie\n\nClients send the header.\n'
good 'docs: add it\n\n# a comment of the editor\n'
good '# a comment\nci: use Debian 13\n'
good 'perf: address a slow query'
good "chore: $(printf 'x%.0s' {1..65})"
good "docs: $(printf 'é%.0s' {1..66})"
good "Merge branch 'main'"
good 'fixup! feat: add alerts'
bad ''
bad 'add alerts'
bad 'Feat: add alerts'
bad 'feature: add alerts'
bad 'feat add alerts'
bad 'feat:add alerts'
bad 'feat:  add alerts'
bad 'feat(Auth): add alerts'
bad 'feat(): add alerts'
bad 'feat: '
bad 'feat: add alerts.'
bad 'feat: added alerts'
bad 'feat: adds alerts'
bad 'fix: fixing alerts'
bad 'feat: add alerts\nand a second line'
bad "chore: $(printf 'x%.0s' {1..66})"
bad "docs: $(printf 'é%.0s' {1..67})"

copy() {
    mkdir -p "$1/scripts"
    cp "$script" "$1/scripts"
}
commit() { git -C "$work/history" commit -q --allow-empty -m "$1"; }
check() { expect "$1" "$2" "$3/scripts/check-commits.sh"; }

copy "$work/copy"
check 77 'a copy without history' "$work/copy"

git init -q "$work/history"
commit 'An old message.'
copy "$work/history"
check 77 'a script that is not committed' "$work/history"
git -C "$work/history" add .
commit 'ci: check commit messages'
commit 'feat: add alerts'
check 0 'messages before the script do not count' "$work/history"
git clone -q --depth 1 "file://$work/history" "$work/shallow"
check 77 'a shallow clone' "$work/shallow"
commit 'More'
check 1 'a bad message' "$work/history"
grep -q 'More' "$work/output"

echo "check-commits: $count cases hold"
