#!/bin/sh
# Installs the packages that Mintage needs, if missing, then runs the given command, if any:
#   scripts/setup.sh [cargo run …]
#   scripts/setup.sh --packages     installs only the packages; for root, without Rust
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

links() {
    program=$(mktemp)
    echo 'int main(void) { return 0; }' | cc -x c - -o "$program" "$@" 2>/dev/null && result=0 || result=1
    rm -f "$program"
    return "$result"
}

# LIBRARY_PATH adds a directory that the linker does not search by default, such as Homebrew's keg. Cargo
# inherits it.
find_libpq() {
    given=${LIBRARY_PATH-}
    for directory in '' "$(pg_config --libdir 2>/dev/null || true)" \
        /opt/homebrew/opt/libpq/lib /usr/local/opt/libpq/lib; do
        [ -z "$directory" ] || export LIBRARY_PATH="$directory${given:+:$given}"
        ! links -lpq || return 0
    done
    LIBRARY_PATH=$given
    [ -n "$given" ] || unset LIBRARY_PATH
    return 1
}

# The same directories as in src/embedded/binaries.rs.
find_postgres() {
    if has initdb && has postgres; then
        return 0
    fi
    for directory in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
        /usr/local/opt/postgresql@*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
        if [ -x "$directory/initdb" ] && [ -x "$directory/postgres" ]; then
            return 0
        fi
    done
    return 1
}

install_packages() ( # in a subshell, so that the trap runs at its end
    case $manager in
        apt-get)
            # Without this Debian's package also creates a cluster of its own and starts it.
            private=/etc/postgresql-common/createcluster.d/mintage-setup.conf
            mkdir -p "${private%/*}"
            trap 'rm -f "$private"' EXIT
            echo 'create_main_cluster = false' >"$private"
            export DEBIAN_FRONTEND=noninteractive
            apt-get -qq update
            apt-get -qq -y install --no-install-recommends "$@" </dev/null
            ;;
        dnf) dnf -q -y install "$@" ;;
        apk) apk add -q "$@" ;;
        brew) brew install -q "$@" ;;
    esac
)

ensure_packages() {
    compiler='' libpq='' server=''
    links || compiler=yes
    find_libpq || libpq=yes
    find_postgres || server=yes
    [ -n "$compiler$libpq$server" ] || return 0

    if has apt-get; then
        manager=apt-get names='gcc libc6-dev|libpq-dev|postgresql'
    elif has dnf; then
        manager=dnf names='gcc|libpq-devel|postgresql-server'
    elif has apk; then
        manager=apk names='gcc musl-dev|libpq-dev|postgresql'
    elif has brew; then
        manager=brew names='|libpq|postgresql@17'
    else
        fail "install a C compiler, libpq with its headers, and the PostgreSQL server (no package manager known here)"
    fi
    rest=${names#*|}
    # shellcheck disable=SC2086 # the names are words
    set -- ${compiler:+${names%%|*}} ${libpq:+${rest%|*}} ${server:+${rest#*|}}
    say "missing packages: $*"
    if [ "$manager" = brew ] || [ "$(id -u)" -eq 0 ]; then
        install_packages "$@"
    elif has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$0" --packages
    else
        fail "only root may install them; as root run: $(cd "$(dirname "$0")" && pwd)/setup.sh --packages"
    fi

    links || fail "there is still no working C compiler (on macOS: xcode-select --install)"
    find_libpq || fail "programs still cannot be linked with libpq"
    find_postgres || fail "there are still no initdb and postgres in any of the usual places"
}

ensure_rust() {
    # Before the next login, a fresh rustup is not on PATH.
    has cargo || PATH=$PATH:${CARGO_HOME:-${HOME-}/.cargo}/bin
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
    has cargo || fail "there is no cargo; get Rust $wanted or newer:" \
        "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    about=$(rustc -vV) || fail "rustc does not run; with rustup: rustup default stable"
    minor=${about#rustc 1.}
    [ "${minor%%.*}" -ge "${wanted#1.}" ] ||
        fail "Rust $wanted or newer is needed, this is $(rustc -V); with rustup: rustup update stable"
    # rustup's toolchain for musl links everything statically, for which Alpine's libpq lacks files.
    case $about in
        *-musl*) export RUSTFLAGS="${RUSTFLAGS-} -C target-feature=-crt-static" ;;
    esac
}

ensure_packages
[ "${1-}" != --packages ] || exit 0
ensure_rust
[ "$#" -eq 0 ] || exec "$@"
say "all that is needed is here"
