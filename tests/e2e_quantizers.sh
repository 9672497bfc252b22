#!/bin/sh
# Codes of every shape through the whole program: trained, evaluated, encoded to a file, decoded. Usage: e2e_quantizers.sh TESSERA
. "$(dirname "$0")/e2e.sh"
expect 0 "$tessera" synth scenes -n 60 --size 32 -o data.h5

# quantizer NAME BOOKS AXES OPTIONS...: so many codebooks are measured; the code file has so many axes, which decode needs
quantizer() {
    name=$1 books=$2 axes=$3; shift 3
    more=$*; set --
    for option in hidden=8 residual=4 blocks=1 dim=4 codes=16 batch=16 log_every=5 eval_every=12 samples_every=0 $more; do
        set -- "$@" --set "$option"
    done
    expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o "$name" --steps 12 "$@"
    cp err.txt "$name.log"
    expect 0 "$tessera" eval "$name" --data data.h5 --split all --json
    [ "$(grep -c '"perplexity"' out.txt)" = "$books" ] || { cat out.txt >&2; fail "$name: not $books codebooks"; }
    expect 0 "$tessera" encode "$name" --data data.h5 -o "$name.codes.h5"
    expect 0 "$tessera" info "$name.codes.h5" --json
    tr -d ' \n\t' <out.txt | grep -q "\"shape\":\[$axes\]" || { cat out.txt >&2; fail "$name: codes are not [$axes]"; }
    expect 0 "$tessera" decode "$name" "$name.codes.h5" -o "$name.decoded.h5"
    expect 0 "$tessera" info "$name.decoded.h5" --json
    grep -q '"images":[[:space:]]*60' out.txt || fail "$name: decode lost images"
    expect 0 "$tessera" report "$name" --data data.h5
}

quantizer plain 1 60,8,8 quantizer=vq
quantizer heads 2 60,8,8,2 quantizer=vq heads=2 codebook=gradient cosine=true
quantizer deep 3 60,8,8,3 quantizer=residual depth=3
quantizer scales 4 60,85 quantizer=multiscale scales=1,2,4,8 codebook=gradient phi=2
quantizer many 5 60,8,8,5 quantizer=residual depth=5
quantizer levels 1 60,8,8 quantizer=finite_scalar codes=40 levels=8,5
quantizer bits 1 60,8,8 quantizer=lookup_free entropy=0.1
quantizer relaxed 1 60,8,8 quantizer=gumbel tau_steps=10
grep -q '"codes_used.2":' deep/metrics.jsonl && grep -q '"restarts":' deep/metrics.jsonl && fail "a counter of what is off"
grep -q '"perplexity.3":' scales/metrics.jsonl || fail "no perplexity of each scale"
grep -q '"temperature":' relaxed/metrics.jsonl || fail "no temperature in the log"

# the lines name what a codebook is of, in training and in evaluation; metrics.jsonl numbers them
lines() { # NAME TRAINING EVALUATION
    grep -q "^step 12/12 |.*$2" "$1.log" && grep -q "^step 12: validation .*$3" "$1.log" || { cat "$1.log" >&2; fail "$1: not '$2', '$3'"; }
}
some='codes [0-9.]* ppl [0-9.]*' used='[0-9]* of 16 codes used, perplexity [0-9.]*'
lines plain " psnr [0-9.]* $some | lr" ", ssim [0-9.]*, $used (best)"
lines heads " | head 1: $some | head 2: $some" ", head 1: $used; head 2: $used"
lines deep " | depth 1: $some | depth 2: $some | depth 3: $some | " ", depth 1: $used; depth 2: $used; depth 3: $used"
lines scales " | 1x1: $some | 2x2: $some | 4x4: $some | 8x8: $some" ", 1x1: $used; 2x2: $used; 4x4: $used; 8x8: $used"
lines many " | means of 5 codebooks: $some" ", [0-9.]* of 16 codes used, perplexity [0-9.]* (means of 5 codebooks)"
grep -q '"perplexity.4":' many/metrics.jsonl || fail "not every depth is in metrics.jsonl"
expect 0 "$tessera" eval deep --data data.h5 --split all
grep -q '^  depth 3 .* of 16 codes used' out.txt || { cat out.txt >&2; fail "eval does not name depths"; }

# codes of another shape are refused; continuous latents have none
expect 5 "$tessera" decode deep plain.codes.h5 -o never.h5
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o smooth --steps 2 --set quantizer=gaussian --set dim=4
expect 0 "$tessera" eval smooth --data data.h5 --split all --json
expect 2 "$tessera" encode smooth --data data.h5 -o never.h5

# what contradicts itself is refused with the arithmetic, before anything is made
expect 2 "$tessera" train vqvae --preset tiny --data data.h5 -o never --set quantizer=finite_scalar --set levels=8,5,5
grep -q '8 \* 5 \* 5 = 200 codes, but codes=64' err.txt || { cat err.txt >&2; fail "the arithmetic is not shown"; }
expect 2 "$tessera" train vqvae --preset tiny --data data.h5 -o never --set quantizer=multiscale --set codebook=gradient --set scales=1,2,4
grep -q 'the last has 4 rows, the latents have 8' err.txt || { cat err.txt >&2; fail "the rows are not shown"; }
expect 2 "$tessera" train vqvae --preset tiny --data data.h5 -o never --set levels=8,x
grep -q 'levels=8,x is not accepted' err.txt || fail "a bad list"
[ ! -e never ] && [ ! -e never.h5 ] || fail "something was made"

# what the chosen quantizer does not read is said, once an option, if it was set to something else than the default; not what a preset sets
warned() { # COUNT LINE RECIPE OPTIONS...
    count=$1 line=$2 recipe=$3; shift 3
    rm -rf warned; "$tessera" train "$recipe" --preset tiny --data data.h5 -o warned --steps 2 "$@" >out.txt 2>err.txt || :
    [ "$(grep -c 'does not read it' err.txt)" = "$count" ] && { [ "$count" = 0 ] || grep -qx "$line" err.txt; } ||
        { cat err.txt >&2; fail "$recipe $*: not $count warnings, '$line'"; }
}
levels="--set quantizer=finite_scalar --set codes=0"
warned 1 'tessera: cosine=true: quantizer=finite_scalar does not read it' vqvae $levels --set cosine=true
[ -s warned/checkpoint.h5 ] || fail "a warning stopped the run"
warned 2 'tessera: restart=0.25: quantizer=finite_scalar does not read it' vqvae $levels --set rotation=yes --set restart=1 --set restart=0.25
warned 0 '' vqvae $levels --set cosine=false --set beta=0.25 --set levels=4,4
warned 1 'tessera: simvq=true: quantizer=lookup_free does not read it' vqvae --set quantizer=lookup_free --set simvq=true
warned 1 'tessera: kl=1: quantizer=vq does not read it' vqvae --set kl=1
warned 1 'tessera: depth=7: quantizer=vq does not read it' vqvae --set quantizer=vq --set depth=7
warned 0 '' vqvae --set quantizer=residual --set depth=2
warned 1 'tessera: r1=10: discriminator=none does not read it' vqgan --set discriminator=none --set r1=10
printf '{"cosine": true}' >cosine.json
warned 0 '' vqvae $levels --config cosine.json

# a codebook larger than what it starts from is trained, but said
for start in kmeans data; do
    expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o few --steps 2 --set codes=300 --set batch=4 --set start=$start --set accumulate=1
    grep -q "start=$start: 4 images give 256 latents for 300 codes, so 44 of them begin unused or as copies" err.txt ||
        { cat err.txt >&2; fail "start=$start: too few latents are not said"; }
    rm -rf few
done
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o few --steps 2 --set codes=300 --set batch=4 --set accumulate=2
! grep -q 'begin unused' err.txt || fail "enough latents are called too few"
echo "e2e_quantizers: all good"
