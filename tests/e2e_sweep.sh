#!/bin/sh
# tessera sweep: combinations, stop and go on, the table, what is refused. Usage: e2e_sweep.sh TESSERA
. "$(dirname "$0")/e2e.sh"
expect 0 "$tessera" synth scenes -n 40 --size 32 -o data.h5
set -- vqvae --preset tiny --data data.h5 --case "quantizer=vq codes=16" --case "quantizer=finite_scalar codes=40 levels=8,5" \
    --case quantizer=none --grid seed=0,1 --set hidden=8 --set residual=4 --set dim=4 --set blocks=1 --set batch=8 \
    --set samples_every=0 --set eval_every=0

# three settings of two seeds each: six runs, three rows
expect 0 "$tessera" sweep "$@" -o whole --steps 4
[ "$(ls -d whole/run-* | wc -l)" = 6 ] || fail "not six runs"
cmp out.txt whole/table.md || fail "the table printed is not the table kept"
[ "$(grep -c '^| quantizer=.* | 2 | 4 | .* +- ' out.txt)" = 3 ] || { cat out.txt >&2; fail "not three rows of two runs"; }
grep -q '^| quantizer=none | .* | - | - | 0.000 +- 0.000 |$' out.txt || { cat out.txt >&2; fail "continuous latents have codes"; }
[ "$(grep -c '"nmse"' whole/table.json)" = 6 ] && grep -q '"settings":[[:space:]]*"quantizer=vq codes=16 seed=1"' whole/table.json || fail "table.json"
expect 0 "$tessera" eval whole/run-003 --data data.h5 --json
nmse=$(number nmse out.txt)
grep -q "\"nmse\":[[:space:]]*$nmse" whole/table.json || fail "table.json does not have eval's $nmse"

# done: nothing is trained again; another command may not have the folder; report measures again, on other images too
before=$(cat whole/run-*/metrics.jsonl | wc -l)
expect 0 "$tessera" sweep "$@" -o whole --steps 4
[ "$(cat whole/run-*/metrics.jsonl | wc -l)" = "$before" ] || fail "runs that were done were trained again"
expect 2 "$tessera" sweep "$@" -o whole --steps 5
cp whole/table.md kept.md
expect 0 "$tessera" report whole
cmp kept.md whole/table.md || fail "report makes another table"
expect 0 "$tessera" report whole --split all
grep -q 'split all (40 images)' whole/table.md || fail "report --split"

# stopped in the middle, and gone on with by the same command: the bytes of a sweep in one go
"$tessera" sweep "$@" -o stopped --steps 300 >out.txt 2>err.txt & pid=$!
while [ ! -e stopped/run-001/metrics.jsonl ]; do sleep 0.02; done
kill -INT $pid
got=0; wait $pid || got=$?
[ "$got" = 130 ] || { cat err.txt >&2; fail "stopped with status $got"; }
grep -q 'the same command goes on with it' err.txt || fail "it is not said how to go on"
[ ! -e stopped/run-005 ] && [ ! -e stopped/table.md ] || fail "it did not stop"
expect 0 "$tessera" sweep "$@" -o stopped --steps 300
expect 0 "$tessera" sweep "$@" -o straight --steps 300
for run in run-000 run-001 run-005; do
    cmp stopped/$run/checkpoint.h5 straight/$run/checkpoint.h5 || fail "$run: other bytes"
done

# every combination is understood before the first runs
expect 2 "$tessera" sweep vqvae --data data.h5 -o never --grid lr=1e-3,x
grep -q 'lr=x' err.txt || { cat err.txt >&2; fail "a bad value is not named"; }
expect 2 "$tessera" sweep vqvae --data data.h5 -o never --grid codess=1,2
expect 2 "$tessera" sweep vqvae --data data.h5 -o never --grid lr
expect 2 "$tessera" sweep vqvae --data data.h5 -o never --grid lr=1e-3,,1e-4
expect 2 "$tessera" sweep vqvae --data data.h5 --grid lr=1e-3
[ ! -e never ] || fail "something was made"
echo "e2e_sweep: all good"
