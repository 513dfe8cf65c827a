#!/usr/bin/env bash
# Runs all tests once, instrumented, and prints how much of src/ they execute. Fails below the floor.
# Exits with 77, before any test, on a machine that lacks cargo-llvm-cov or LLVM's tools; with --can-measure it only
# looks for them. Other arguments go to `cargo test`. The figures of each file are in target/coverage.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$PWD/target/ci/bin

# Percent of lines. A little below the measured figure, because some lines run only on a slow machine.
FLOOR=95

missing() {
    echo "coverage: NOT CHECKED: $1" >&2
    exit 77
}
command -v cargo-llvm-cov >/dev/null || missing 'cargo-llvm-cov is missing: cargo install --locked cargo-llvm-cov'
if [[ ! -x $(rustc --print target-libdir)/../bin/llvm-profdata ]]; then
    # Those of the system have to be of the compiler's version: the format of profiles differs between versions.
    llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    export LLVM_COV=${LLVM_COV-llvm-cov-$llvm} LLVM_PROFDATA=${LLVM_PROFDATA-llvm-profdata-$llvm}
    command -v "$LLVM_COV" "$LLVM_PROFDATA" >/dev/null ||
        missing "LLVM's tools are missing: rustup component add llvm-tools, or apt install llvm-$llvm"
fi

if [[ ${1-} == --can-measure ]]; then exit; fi

eval "$(cargo llvm-cov show-env --sh)"
# As wrapper for the workspace only, so that `cargo build` and this share the builds of the dependencies.
export RUSTC_WORKSPACE_WRAPPER=$RUSTC_WRAPPER
unset RUSTC_WRAPPER
cargo llvm-cov clean --workspace

scripts/test.sh --locked "$@"

report=target/coverage.txt status=0
cargo llvm-cov report --ignore-filename-regex "^$PWD/(bench|tests)/" --fail-under-lines "$FLOOR" >"$report" || status=$?
awk -v floor="$FLOOR" '$1 == "TOTAL" { print "coverage: " $10 " of the lines of src, at least " floor "% wanted" }' "$report"
exit "$status"
