# Progress that a person can follow. Sourced.
#
#   step "what it does" command args…   runs the command with its output in a log; shows one line
#                                       with the time while it runs, and what to look at if it fails
#   die "message"                       prints the message to stderr and exits 1

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

step() {
  local title=$1 log pid start now
  shift
  local logs=${SPRINGTIDE_LOGS:-${XDG_CACHE_HOME:-$HOME/.cache}/springtide/logs}
  mkdir -p "$logs"
  log=$logs/$(tr -c 'a-zA-Z0-9\n' - <<<"$title").log
  start=$SECONDS
  printf '==> %s …\n' "$title"
  # A subshell of its own keeps 'set -e' working inside functions.
  ( set -e; "$@" ) >"$log" 2>&1 </dev/null &
  pid=$!
  # One line a minute, so that a log kept by CI shows what takes how long.
  (
    trap 'kill "$nap"; exit' TERM
    while :; do
      sleep 60 &
      nap=$!
      wait "$nap"
      printf '    %s: %d s\n' "$title" $((SECONDS - start))
    done
  ) &
  local ticker=$!
  local status=0
  wait "$pid" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  now=$((SECONDS - start))
  if [ "$status" -ne 0 ]; then
    printf '\n'
    tail -n 25 "$log" | sed 's/^/    | /' >&2
    die "$title failed after $now s; its whole log is $log"
  fi
  printf '    %s: done in %d s\n' "$title" "$now"
}
