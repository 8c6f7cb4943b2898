# Sourced by the scripts in this folder: where things are, and how a stage is timed.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/cluster-build/target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

# stage NAME COMMAND...: runs it and prints how long it took.
stage() {
  local name=$1 began=$SECONDS status=0
  shift
  printf '\n==> %s\n' "$name"
  "$@" || status=$?
  printf '==> %s: %s, %d s\n' "$name" "$([ $status = 0 ] && echo ok || echo FAILED)" $((SECONDS - began))
  return $status
}

binaries() {
  printf '%s/%s/debug' "$CARGO_TARGET_DIR" "$(rustc --print host-tuple)"
}

# skipped WHAT WHY: where a user's machine cannot run something. In CI that is a failure.
skipped() {
  echo "SKIPPED $1: $2"
  [ "${CI:-}" != true ]
}
