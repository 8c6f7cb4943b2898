# What every step's script starts with. It arrives on standard input, so that no
# secret is in an argument or on a disk, and runs as root.
set -u
umask 022
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# What is being written; a script that ends early leaves nothing half-written behind.
new=
trap '[ -z "$new" ] || rm -f "$new"' EXIT

# fail WHAT: ends the script; the caller shows what follows the mark.
fail() {
    echo "cluster-failed: $*" >&2
    exit 1
}

# run COMMAND...: a command that must succeed.
run() {
    "$@" </dev/null || fail "$* (exit status $?)"
}

# have_file PATH MODE OWNER DIGEST
have_file() {
    [ -f "$1" ] || return 1
    [ "$(stat -c '%a %U:%G' "$1")" = "$2 $3" ] || return 1
    [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$4" ]
}

# put_file PATH MODE OWNER: content comes as base64; the old file or the whole new one.
put_file() {
    run mkdir -p "$(dirname "$1")"
    new=$(mktemp "$1.XXXXXX") || fail "mktemp $1"
    base64 -d >"$new" || fail "write $1"
    run chmod "$2" "$new"
    run chown "$3" "$new"
    run sync "$new"
    run mv -f "$new" "$1"
}

active() {
    systemctl is-active --quiet "$1" && systemctl is-enabled --quiet "$1"
}
