# What the e2e_*.sh share; they source it with the program's path as their argument:
#
#     . "$(dirname "$0")/e2e.sh"
#
# It sets $tessera, moves to a folder of the test's own, which is deleted at its end, and takes one thread unless told otherwise.
set -eu
tessera=$1
folder=$(mktemp -d "${TMPDIR:-/tmp}/tessera-e2e.XXXXXX")
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
export SOURCE_DATE_EPOCH=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

fail() { echo "FAILED: $*" >&2; exit 1; }

# STATUS command...: the command must end with STATUS; out.txt and err.txt have what it said
expect() {
    want=$1; shift
    got=0; "$@" >out.txt 2>err.txt || got=$?
    [ "$got" = "$want" ] || { cat err.txt >&2; fail "$* ended with $got, not $want"; }
}

# KEY FILE: the first number of that name in indented JSON
number() { sed -n "s/^[[:space:]]*\"$1\":[[:space:]]*\([0-9.e+-]*\).*/\1/p" "$2" | head -1; }

# KEY RUN: the training's last figure of that name is below its first
falls() {
    values=$(sed -n "s/.*\"split\":\"train\".*\"$1\":\([0-9.e-]*\).*/\1/p" "$2/metrics.jsonl")
    first=$(echo "$values" | head -1) last=$(echo "$values" | tail -1)
    awk "BEGIN { exit !($last < $first) }" || fail "$2: $1 $first -> $last does not fall"
}

# RUN STEP command...: a training into RUN that is interrupted once it has logged STEP; $step is where it stopped
interrupted() {
    run=$1 at=$2; shift 2
    "$@" >out.txt 2>err.txt & pid=$!
    while ! grep -q "\"step\":$at," "$run/metrics.jsonl" 2>/dev/null; do sleep 0.02; done
    kill -INT $pid
    wait $pid 2>/dev/null || true
    step=$(sed -n 's/^stopped at step \([0-9]*\), saved.*/\1/p' err.txt)
    [ -n "$step" ] || { cat err.txt >&2; fail "$run: was not stopped"; }
}
