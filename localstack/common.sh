# shellcheck shell=bash
# What `up` and `down` share: where things lie, root rights, saying what happens.
# Sourced, never run.
# shellcheck disable=SC2034  # the variables are for them

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$here")

version=4.14.0
# LocalStack's dependencies are not pinned; as of this day they work together.
resolved_as_of=2026-03-10

state=${CLUSTER_LOCALSTACK_STATE:-/var/lib/cluster-localstack}
cache=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}/cluster
venv=$cache/localstack-$version
images=$cache/images-$(sha256sum <"$here/images" | cut -c1-12)
endpoint=http://127.0.0.1:4566
machines=$state/bin/machines

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "localstack/$(basename "$0"): $*"
  exit 1
}

# Runs a step and says how long it took.
step() {
  local title=$1 started=$EPOCHREALTIME
  shift
  "$@" || fail "$title: failed"
  local micros=$((${EPOCHREALTIME/[.,]/} - ${started/[.,]/}))
  printf '%7s s  %s\n' "$((micros / 1000000)).$((micros / 100000 % 10))" "$title" >&2
}

# Namespaces, mounts and cgroups are root's. Caches stay the caller's folders.
become_root() {
  [ "$(id -u)" = 0 ] && return
  command -v sudo >/dev/null ||
    fail "needs root (network namespaces, mounts, cgroups) and there is no sudo; run it as root"
  say "needs root for network namespaces, mounts and cgroups: going on with sudo"
  exec sudo --preserve-env=CI,CLUSTER_DEBIAN_MIRROR,CLUSTER_LOCALSTACK_REGIONS,LS_LOG \
    CLUSTER_CACHE="${cache%/cluster}" CLUSTER_LOCALSTACK_STATE="$state" \
    CLUSTER_MACHINES_BIN="${CLUSTER_MACHINES_BIN:-}" "$@"
}

alive() { [ -x "$machines" ] && [ -e "$1" ] && "$machines" alive "$1"; }

healthy() { curl -sf --max-time 2 "$endpoint/_localstack/health" >/dev/null; }

# Waits until a command succeeds: `until_true SECONDS PIDFILE COMMAND…`; gives up
# at once when the process behind the pid file has ended.
until_true() {
  local deadline=$((SECONDS + $1)) pid_file=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    alive "$pid_file" || return 1
    sleep 0.1
  done
}
