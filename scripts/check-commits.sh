#!/usr/bin/env bash
# Checks commit messages: https://www.conventionalcommits.org
#   scripts/check-commits.sh              all commits since this script exists
#   scripts/check-commits.sh --message F  the message in the file F, as the hook commit-msg passes it
# Exits with 77 if there is no history to check.
set -euo pipefail

TYPES='feat|fix|refactor|perf|docs|test|build|ci|chore'
MAX_SUBJECT=72
# Only the most common verbs, since English has no ending for the imperative.
VERBS='(add|change|fix|make|move|remove|rename|replace|update|use)(s|es|d|ed)|(add|fix|mov|us)ing'
NOT_IMPERATIVE="^[^:]*: ($VERBS) "
# To count characters, not bytes.
export LC_ALL=C.UTF-8

# Reads a message from stdin and prints what is wrong with it; $1 says which one it is.
check() {
    local subject second faults=()
    {
        IFS= read -r subject || true
        IFS= read -r second || true
        cat >/dev/null
    }
    [[ $subject =~ ^($TYPES)(\([a-z0-9-]+\))?'!'?': '[^[:space:]] ]] ||
        faults+=("the subject must be 'type(scope): summary' or 'type: summary'; types: ${TYPES//|/ }")
    ((${#subject} <= MAX_SUBJECT)) || faults+=("the subject has ${#subject} characters; $MAX_SUBJECT are allowed")
    [[ $subject != *. ]] || faults+=('the subject must not end with a full stop')
    [[ ! $subject =~ $NOT_IMPERATIVE ]] ||
        faults+=('the summary must be imperative: "add", not "added" or "adds"')
    [[ -z $second ]] || faults+=('the second line must be empty')
    ((${#faults[@]})) || return 0
    printf 'commits: %s: %s\n' "$1" "$subject" >&2
    printf '    %s\n' "${faults[@]}" >&2
    return 1
}

skip() {
    echo "commits: NOT CHECKED: $1" >&2
    exit 77
}

check_history() {
    cd "$(dirname "$0")/.."
    local first commit status=0 count=0
    command -v git >/dev/null || skip 'git is not installed'
    [[ $(git rev-parse --show-toplevel 2>/dev/null) == "$PWD" ]] || skip 'this is not a git repository'
    [[ $(git rev-parse --is-shallow-repository) == false ]] || skip 'the history of this clone is not complete'
    first=$(git log --diff-filter=A --format=%H -- "scripts/${0##*/}" | tail -n 1)
    [[ -n $first ]] || skip 'this script is not committed'
    for commit in "$first" $(git rev-list --no-merges "$first..HEAD"); do
        git log -1 --format=%B "$commit" | check "${commit:0:10}" || status=1
        count=$((count + 1))
    done
    ((status)) || echo "commits: $count messages are conventional"
    return "$status"
}

case ${1-} in
    '') check_history ;;
    --message)
        # Git writes merges itself; `git rebase --autosquash` removes the others.
        message=$(git stripspace --strip-comments <"$2")
        [[ $message =~ ^('Merge '|'fixup! '|'squash! '|'amend! ') ]] || check 'this commit' <<<"$message"
        ;;
    *)
        echo "usage: ${0##*/} [--message FILE]" >&2
        exit 2
        ;;
esac
