#!/bin/sh
# The recipes vae, vqvae2, vitvqgan and dvae as commands: train, stop, resume, eval, encode, decode. Usage: e2e_recipes2.sh TESSERA
. "$(dirname "$0")/e2e.sh"
expect 0 "$tessera" synth scenes -n 60 --size 32 -o data.h5

# recipe NAME CODES OPTIONS...: the preset tiny with fewer channels
recipe() {
    name=$1 codes=$2; shift 2
    more=$*; set --
    for option in batch=8 warmup=0 log_every=2 eval_every=0 samples_every=0 save_every=0 $more; do set -- "$@" --set "$option"; done
    "$tessera" recipes "$name" | grep -q '^  paper ' || fail "$name: no preset paper"
    expect 0 "$tessera" train "$name" --preset tiny --data data.h5 -o "$name" --steps 24 "$@"
    falls nmse "$name"

    # stopped and resumed: the bytes of a run in one go
    interrupted stopped 2 "$tessera" train "$name" --preset tiny --data data.h5 -o stopped --steps 1000000 "$@" --set lr_steps=24
    expect 0 "$tessera" train "$name" -o stopped --resume --steps $((step + 5))
    expect 0 "$tessera" train "$name" --preset tiny --data data.h5 -o straight --steps $((step + 5)) "$@" --set lr_steps=24
    cmp straight/checkpoint.h5 stopped/checkpoint.h5 || fail "$name: resumed at step $step, other bytes"
    rm -rf stopped straight

    expect 0 "$tessera" eval "$name" --data data.h5 --split all --json
    [ "$(grep -c '"perplexity"' out.txt)" = "$codes" ] || { cat out.txt >&2; fail "$name: not $codes codebooks"; }
    expect 0 "$tessera" reconstruct "$name" --data data.h5 --split all -o direct.h5
    expect 0 "$tessera" report "$name" --data data.h5
    if [ "$codes" = 0 ]; then
        expect 2 "$tessera" encode "$name" --data data.h5 -o never.h5
        grep -q 'its latents are continuous' err.txt || { cat err.txt >&2; fail "$name: encode does not say that there are no codes"; }
        [ ! -e never.h5 ] || fail "$name: encode made a file"
        return
    fi
    expect 0 "$tessera" encode "$name" --data data.h5 -o "$name.codes.h5"
    expect 0 "$tessera" decode "$name" "$name.codes.h5" -o decoded.h5
    cmp direct.h5 decoded.h5 || fail "$name: decode(encode) is not reconstruct"
}

recipe vae 0 ch=32 ch_mult=1,1 encoder_attention=1 decoder_attention=1
recipe vqvae2 2 hidden=8 residual=4 dim=4 codes=16
recipe vitvqgan 1 width=16 hidden=32 blocks=1 codes=16 disc_width=4 disc_norm=batch disc_start=2 gan_start=3 gan_ramp=0
recipe dvae 1 width=8 initial=8 codes=16

# grids of codes: a dataset each, coarsest first; both are measured, and each level alone
expect 0 "$tessera" info vqvae2.codes.h5 --json
tr -d ' \n\t' <out.txt | grep -q '"grids":\[{"codebook_size":16,"shape":\[60,4,4\],"grid":"4,4"},{"codebook_size":16,"shape":\[60,8,8\],"grid":"8,8"}\]' ||
    { cat out.txt >&2; fail "the grids are not told"; }
expect 0 "$tessera" eval vqvae2 --data data.h5 --split all
grep -q '^  level 0 (4x4)  .* of 16 codes used' out.txt && grep -q '^  level 1 (8x8)  .* of 16 codes used' out.txt || { cat out.txt >&2; fail "no usage per level"; }
expect 0 "$tessera" eval vqvae2 --data data.h5 --split all --levels --json
[ "$(tr -d ' \n\t' <out.txt | grep -o '"levels_alone":\[{[^]]*' | grep -o '"nmse"' | wc -l)" = 2 ] || { cat out.txt >&2; fail "--levels"; }
expect 2 "$tessera" eval dvae --data data.h5 --levels
grep -q '"perplexity.1":' vqvae2/metrics.jsonl || fail "no perplexity of each level in the log"
expect 5 "$tessera" decode dvae vqvae2.codes.h5 -o never.h5

# another size of image through the same weights
expect 0 "$tessera" synth scenes -n 6 --size 64 -o wide.h5
expect 0 "$tessera" reconstruct vqvae2 --data wide.h5 --split all -o direct.h5
expect 0 "$tessera" encode vqvae2 --data wide.h5 -o wide.codes.h5
expect 0 "$tessera" decode vqvae2 wide.codes.h5 -o decoded.h5
cmp direct.h5 decoded.h5 || fail "64x64: decode(encode) is not reconstruct"

# three levels
expect 0 "$tessera" train vqvae2 --preset tiny --data data.h5 -o three --steps 2 --set grids=3 --set hidden=8 --set codes=16 --set batch=8 \
    --set log_every=2 --set eval_every=2
figures='codes [0-9.]* ppl [0-9.]* restarts [0-9]*'
grep -q "^step 2/2 |.* | level 0 (2x2): $figures | level 1 (4x4): $figures | level 2 (8x8): $figures | lr" err.txt || { cat err.txt >&2; fail "levels in training"; }
grep -q '^step 2: validation .*, level 0 (2x2): .*; level 1 (4x4): .*; level 2 (8x8): .* codes used' err.txt || { cat err.txt >&2; fail "levels in evaluation"; }
expect 0 "$tessera" encode three --data data.h5 -o three.h5
grep -q '4 codes of 64\|4 codes of 16 + 16 codes of 16 + 64 codes of 16 each' err.txt || { cat err.txt >&2; fail "codes of three grids"; }

# pictures of another size: convolutions take them, the positions of a transformer are of one size
expect 0 "$tessera" synth scenes -n 20 --size 64 -o large.h5
expect 0 "$tessera" eval vae --data large.h5
expect 3 "$tessera" eval vitvqgan --data large.h5
grep -q 'images of 64x64: .* trained on 32x32 and takes no other size; pack with --size 32x32' err.txt || { cat err.txt >&2; fail "another size"; }

# what contradicts itself is refused before anything is made
expect 2 "$tessera" train vae --preset tiny --data data.h5 -o never --set encoder_attention=3
grep -q 'level 3 never occurs; ch_mult has 3 levels' err.txt || { cat err.txt >&2; fail "the arithmetic is not shown"; }
expect 2 "$tessera" train vqvae2 --preset tiny --data data.h5 -o never --set quantizer=multiscale --set codebook=gradient --set scales=1,2,4
grep -q 'set grids=1' err.txt || { cat err.txt >&2; fail "vqvae2: multiscale with two grids"; }
[ ! -e never ] && [ ! -e never.h5 ] || fail "something was made"
echo "e2e_recipes2: all good"
