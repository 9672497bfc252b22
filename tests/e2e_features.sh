#!/bin/sh
# Features learned on the data at hand, and a perceptual loss by them: train, look at them with the usual commands, train others with them,
# resume; weights that are not there or have changed. Usage: e2e_features.sh TESSERA
. "$(dirname "$0")/e2e.sh"

expect 0 "$tessera" synth scenes -n 64 --size 32 -o data.h5
learn="--preset tiny --data data.h5 --set width=8 --set log_every=10 --set warmup=0 --set lr=3e-3"
expect 0 "$tessera" train features $learn -o features --steps 60
falls reconstruction features
falls labels features
expect 0 "$tessera" train features $learn -o half --steps 30 --set lr_steps=60
expect 0 "$tessera" train features --data data.h5 -o half --resume --steps 60
expect 0 "$tessera" train features $learn -o straight --steps 60 --set lr_steps=60
cmp straight/checkpoint.h5 half/checkpoint.h5 || fail "features resumed: other bytes"
expect 0 "$tessera" train features $learn -o threads --steps 60 --threads 3
"$tessera" info features --json >a.txt; "$tessera" info threads --json >b.txt
[ "$(grep -o '"fingerprint":[^,]*' a.txt)" = "$(grep -o '"fingerprint":[^,]*' b.txt)" ] || fail "other features on other threads"
rm -r straight half threads
expect 0 "$tessera" eval features --data data.h5 --json
expect 0 "$tessera" reconstruct features --data data.h5 -o grid.png
expect 2 "$tessera" encode features --data data.h5 -o codes.h5
grep -q 'no codebook' err.txt || fail "encode: why not is not said"
expect 2 "$tessera" train features --preset tiny --data data.h5 -o never --set levels=7
grep -q 'multiples of 64' err.txt || fail "levels: the arithmetic is not shown"

set -- --preset tiny --data data.h5 --set ch=8 --set groups=4 --set z_channels=8 --set dim=4 --set codes=16 --set batch=4 \
    --set discriminator=none --set lr=1e-3 --set eval_every=0 --set samples_every=0 --set log_every=4 --set perceptual=features
expect 0 "$tessera" train vqgan "$@" -o straight --steps 16 --set perceptual_weights=features
falls perceptual straight
expect 0 "$tessera" info features --json
print=$(sed -n 's/.*"fingerprint":[[:space:]]*"\([0-9a-f]*\)".*/\1/p' out.txt)
[ ${#print} = 64 ] || fail "no fingerprint"
grep -q "\"perceptual_sha256\":[[:space:]]*\"$print\"" straight/run.json || fail "the weights are not in the run's record"
expect 0 "$tessera" train vqgan "$@" -o half --steps 8 --set perceptual_weights=features/checkpoint.h5
cp -r features elsewhere
mv features gone
expect 0 "$tessera" eval half --data data.h5 # needs no such weights
expect 5 "$tessera" train vqgan -o half --resume --steps 16
grep -q 'features/checkpoint.h5: no such run' err.txt || fail "what is missing is not said"
expect 0 "$tessera" train vqgan -o half --resume --steps 16 --set perceptual_weights=elsewhere
"$tessera" info straight --json >a.txt; "$tessera" info half --json >b.txt
[ "$(grep -o '"fingerprint":[^,]*' a.txt)" = "$(grep -o '"fingerprint":[^,]*' b.txt)" ] || fail "resumed: other weights"

# the features have learned on since, and what is no features
expect 0 "$tessera" train features --data data.h5 -o elsewhere --resume --steps 70
expect 0 "$tessera" train vqgan "$@" -o other --steps 4 --set perceptual_weights=elsewhere
expect 5 "$tessera" train vqgan -o half --resume --steps 20 --set perceptual_weights=elsewhere
grep -q "this run asks for perceptual_sha256=$print" err.txt || fail "changed weights are not named"
expect 5 "$tessera" train vqgan "$@" -o never --set perceptual_weights=half
grep -q "of recipe 'vqgan'" err.txt || fail "another recipe is not named"
expect 5 "$tessera" train vqgan "$@" -o never --set perceptual_weights=nothing
expect 2 "$tessera" train vqgan "$@" -o never
grep -q 'tessera train features' err.txt || fail "what to do first is not said"
[ ! -e never ] || fail "a run that was refused left a folder"
echo "learned features: as they should be"
