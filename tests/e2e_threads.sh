#!/bin/sh
# How threads wait for each other: not spinning for milliseconds, unless the user wants it so. Usage: e2e_threads.sh TESSERA
. "$(dirname "$0")/e2e.sh"

# spins: how often a waiting thread looks again before it sleeps, as GNU's OpenMP library reports it; nothing with another library.
spins() { env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT OMP_DISPLAY_ENV=verbose "$@" "$tessera" --version 2>&1 | sed -n "s/.*GOMP_SPINCOUNT = '\(.*\)'/\1/p" | tail -1; }

count=$(spins)
[ -z "$count" ] || [ "$count" -le 10000 ] || fail "a waiting thread spins $count times: beside other programs steps take many times as long"
count=$(spins GOMP_SPINCOUNT=123)
[ -z "$count" ] || [ "$count" = 123 ] || fail "GOMP_SPINCOUNT=123 became $count"
count=$(spins OMP_WAIT_POLICY=active)
[ -z "$count" ] || [ "$count" -gt 10000 ] 2>/dev/null || [ "$count" = INFINITY ] || fail "OMP_WAIT_POLICY=active became $count spins"

# the program is still called by its name
expect 0 "$tessera" synth scenes -n 64 --size 32 -o data.h5
env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$tessera" train vqvae --preset tiny --data data.h5 -o run -q >/dev/null 2>&1 & pid=$!
while [ ! -e run/run.json ]; do kill -0 $pid 2>/dev/null || fail "the training did not begin"; sleep 0.1; done
name=$(cat "/proc/$pid/comm")
kill -INT $pid
wait $pid || true
[ "$name" = "$(basename "$tessera")" ] || fail "the process is called $name"
