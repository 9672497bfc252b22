#!/bin/sh
# Wrong options, files and folders: each gives a message with the cause, the right status, and harms nothing.
# Usage: e2e_bad_input.sh TESSERA
. "$(dirname "$0")/e2e.sh"

refuse() { # STATUS PATTERN command...: ends with STATUS, one line "tessera: ..." that matches PATTERN last on stderr, nothing on stdout
    want=$1; pattern=$2; shift 2
    got=0; "$@" >out.txt 2>err.txt || got=$?
    [ "$got" = "$want" ] || { cat err.txt >&2; fail "$* ended with $got, not $want"; }
    tail -1 err.txt | grep -q '^tessera: ' || fail "$*: no message: $(cat err.txt)"
    tail -1 err.txt | grep -q -- "$pattern" || { cat err.txt >&2; fail "$*: the message lacks '$pattern'"; }
    [ ! -s out.txt ] || fail "$*: wrote to stdout"
}
train() { # STATUS PATTERN options...: a training that must be refused, and leave no folder
    want=$1; pattern=$2; shift 2
    refuse "$want" "$pattern" "$tessera" train vqvae --preset tiny --data data.h5 -o never "$@"
    [ ! -e never ] || fail "train $*: left a folder"
}
small="--set hidden=8 --set residual=4 --set blocks=1 --set dim=4 --set codes=16 --set batch=16"

"$tessera" synth scenes -n 60 --size 32 -o data.h5 -q
"$tessera" synth scenes -n 60 --size 30 -o odd.h5 -q
"$tessera" synth scenes -n 60 --size 32 --seed 3 -o data2.h5 -q
"$tessera" train vqvae --preset tiny --data data.h5 -o run --steps 4 $small -q

# the command line
refuse 2 "did you mean 'train'" "$tessera" trian
refuse 2 "did you mean --steps" "$tessera" train vqvae --stepz 3
refuse 2 "needs a value" "$tessera" train vqvae --steps
refuse 2 "--data DATA.h5 is missing" "$tessera" train vqvae -o never
refuse 2 "-o RUN is missing" "$tessera" train vqvae --data data.h5
refuse 2 "did you mean 'vqvae'" "$tessera" train vqvea --data data.h5 -o never
refuse 2 "1 needed" "$tessera" eval --data data.h5
for command in train eval encode decode reconstruct info recipes pack synth; do
    "$tessera" $command --help >out.txt 2>err.txt || fail "$command --help"
    grep -q "^usage: tessera $command" out.txt && [ ! -s err.txt ] || fail "$command --help prints no usage"
    [ "$("$tessera" $command --version)" = "$("$tessera" --version)" ] || fail "$command --version"
done

# options
train 2 "did you mean 'codes'" --set code=64
train 2 "did you mean 'cifar10'" --preset cifar
train 2 "steps=0 is not accepted" --set steps=0
train 2 "from 1 to" --steps -5
train 2 "batch=0" --set batch=0
train 2 "batch=-1" --set batch=-1
train 2 "lr=nan" --set lr=nan
train 2 "lr=0" --set lr=0
train 2 "one of ema|gradient" --set codebook=emma
train 2 "key=value" --set codes
train 2 "larger than the 54 training images" --set batch=64
train 2 "not a size" --memory lots
train 1 "no smaller batch would fit" --memory 1M $small
printf '{"options": {"hidden": 8, "codez": 2}}' >bad.json
train 2 "bad.json: unknown option 'codez'" --config bad.json
printf '{"options": {"hidden": ' >bad.json
train 2 "bad.json" --config bad.json
train 1 "nothing.json" --config nothing.json
refuse 2 "multiples of 4.*28x28 and 32x32" "$tessera" train vqvae --preset tiny --data odd.h5 -o never
[ ! -e never ] || fail "an odd size left a folder"

# the same words in bench and pack
bench() { pattern=$1; shift; refuse 2 "$pattern" "$tessera" bench vqvae --json --seconds 1 "$@"; }
bench "did you mean 'cifar10'" --preset cifar
bench "set optimizer=adamw" --preset tiny --set weight_decay=0.1
for size in 64x 0 16385; do
    bench "size $size is not accepted; give N or WxH" --size $size
    refuse 2 "size $size is not accepted; give N or WxH" "$tessera" pack . -o never.h5 --size $size
done

# data
echo "these are no pictures" >text.h5
head -c 20000 data.h5 >cut.h5
: >empty.h5
refuse 1 "none.h5" "$tessera" train vqvae --data none.h5 -o never
for file in text empty cut; do refuse 3 "$file.h5" "$tessera" train vqvae --data $file.h5 -o never; done
refuse 3 "run/checkpoint.h5" "$tessera" train vqvae --data run/checkpoint.h5 -o never
[ ! -e never ] || fail "bad data left a folder"
refuse 1 "none.h5" "$tessera" eval run --data none.h5
refuse 3 "cut.h5" "$tessera" eval run --data cut.h5 --json
refuse 3 "no images in split 'test'" "$tessera" eval run --data data.h5 --split test
refuse 2 "give train, validation, test or all" "$tessera" eval run --data data.h5 --split tset

# checkpoints
refuse 5 "norun" "$tessera" eval norun --data data.h5
mkdir empty
refuse 5 "no checkpoint.h5" "$tessera" eval empty --data data.h5
refuse 5 "empty" "$tessera" train vqvae --data data.h5 -o empty --resume
refuse 5 "data.h5" "$tessera" eval data.h5 --data data.h5
head -c 9000 run/checkpoint.h5 >cut-checkpoint.h5
refuse 5 "cut-checkpoint.h5" "$tessera" eval cut-checkpoint.h5 --data data.h5
refuse 2 "holds a run already" "$tessera" train vqvae --preset tiny --data data.h5 -o run
refuse 2 "give more with --steps" "$tessera" train vqvae --data data.h5 -o run --resume
refuse 2 "hidden=16, but the run" "$tessera" train vqvae --data data.h5 -o run --resume --steps 9 --set hidden=16
refuse 3 "not the data" "$tessera" train vqvae --data data2.h5 -o run --resume --steps 9
cp run/checkpoint.h5 before.h5

# codes of another tokenizer, or none at all
"$tessera" encode run --data data.h5 -o codes.h5 -q
"$tessera" train vqvae --preset tiny --data data.h5 -o other --steps 4 --seed 5 $small -q
refuse 5 "codes of another tokenizer" "$tessera" decode other codes.h5 -o never.h5
refuse 3 "not a code file" "$tessera" decode run data.h5 -o never.h5
refuse 1 "none.h5" "$tessera" decode run none.h5 -o never.h5
"$tessera" train vqvae --preset tiny --data data.h5 -o plain --steps 2 --set quantizer=none $small -q
"$tessera" eval plain --data data.h5 --json | grep -q '"codebooks":.*\[\]' || fail "a model without codebook lists one"
refuse 2 "no codebook" "$tessera" encode plain --data data.h5 -o never.h5
[ ! -e never.h5 ] || fail "never.h5 was left behind"

# folders that cannot be written, and a full disk
refuse 1 "nowhere/x.h5" "$tessera" encode run --data data.h5 -o nowhere/x.h5
refuse 1 "nowhere/x.png" "$tessera" reconstruct run --data data.h5 -o nowhere/x.png
: >file
refuse 1 "file" "$tessera" train vqvae --preset tiny --data data.h5 -o file/run --steps 2 $small
cmp run/checkpoint.h5 before.h5 || fail "the checkpoint of a good run was changed"
# (TMPDIR: the checker of races has a temporary file of its own, and dies if that is cut)
( ulimit -f 8; trap '' XFSZ; export TMPDIR=/nowhere; refuse 1 "never.h5" "$tessera" reconstruct run --data data.h5 --split all -o never.h5 ) || fail "full disk: reconstruct"
[ ! -e never.h5 ] || fail "a full disk left a partial data set"
for command in "info run" "info run --json" "eval run --data data.h5" "eval run --data data.h5 --json"; do
    got=0; "$tessera" $command >/dev/full 2>err.txt || got=$?
    [ $got = 1 ] && tail -1 err.txt | grep -q '^tessera: standard output: ' || { cat err.txt; fail "full disk: $command"; }
done
cp -r run full
( ulimit -f 8; trap '' XFSZ; export TMPDIR=/nowhere; got=0; "$tessera" train vqvae --data data.h5 -o full --resume --steps 8 >out.txt 2>err.txt || got=$?
  [ $got = 1 ] && tail -1 err.txt | grep -q '^tessera: .*full/' ) || { cat err.txt; fail "full disk: train"; }
cmp full/checkpoint.h5 before.h5 || fail "a full disk destroyed the checkpoint"

# a loss that is not finite
refuse 4 "not finite" "$tessera" train vqvae --preset tiny --data data.h5 -o diverged --steps 200 $small --set lr=10 --set beta=1000 --set codebook=gradient --set adam_eps=1e-30 --set divide_by_variance=false
"$tessera" eval diverged --data data.h5 -q >/dev/null || fail "the checkpoint before the divergence is gone"

ls -a | grep -q '\.tmp\.' && fail "temporary files are left: $(ls -a)"
echo "e2e_bad_input: all good"
