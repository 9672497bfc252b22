#!/bin/sh
# Recipes with a discriminator: train, resume across its onset, evaluate, encode, decode; weights of a perceptual loss that are not
# there or not the right ones. Usage: e2e_adversarial.sh TESSERA
. "$(dirname "$0")/e2e.sh"

expect 0 "$tessera" synth scenes -n 40 --size 32 -o data.h5
small="ch=8 groups=4 z_channels=8 dim=4 codes=16 batch=4 disc_width=16 disc_layers=1 lr=1e-3 warmup=0 disc_start=3 gan_start=5
       gan_ramp=4 eval_every=4 samples_every=0 log_every=2 save_every=100 backoff=0.01 perceptual=ssim"
set -- ; for option in $small; do set -- "$@" --set "$option"; done

for recipe in vqgan rqvae hqvae var-tokenizer; do
    expect 0 "$tessera" train $recipe --preset tiny --data data.h5 -o $recipe --steps 12 "$@"
    for figure in adversarial discriminator adaptive_weight logits_real logits_fake grad_norm.discriminator; do
        grep -q "\"$figure\":[-0-9]" $recipe/metrics.jsonl || fail "$recipe does not log $figure"
    done
    falls reconstruction $recipe
    for step in 4 8; do # before the onset (a run that ends before it is refused, so it is earlier there), and on the ramp
        [ $step = 4 ] && more="--set gan_start=3" || more=""
        rm -rf stopped straight
        expect 0 "$tessera" train $recipe --preset tiny --data data.h5 -o stopped --steps $step "$@" $more
        expect 0 "$tessera" train $recipe -o stopped --resume --steps 12
        expect 0 "$tessera" train $recipe --preset tiny --data data.h5 -o straight --steps 12 "$@" $more
        cmp straight/checkpoint.h5 stopped/checkpoint.h5 || fail "$recipe resumed at step $step: other bytes"
    done
    expect 0 "$tessera" eval $recipe --data data.h5 --json
    expect 0 "$tessera" encode $recipe --data data.h5 -o $recipe.h5
    expect 0 "$tessera" decode $recipe $recipe.h5 -o $recipe.out
    [ "$(ls $recipe.out | wc -l)" -ge 40 ] || fail "$recipe decoded too few pictures"
    rm -rf $recipe.out
done

# more threads, the same bits
expect 0 "$tessera" train vqgan --preset tiny --data data.h5 -o threads --steps 12 --threads 3 "$@"
expect 0 "$tessera" info vqgan --json; print=$(sed -n 's/.*"fingerprint":[[:space:]]*"\([0-9a-f]*\)".*/\1/p' out.txt)
expect 0 "$tessera" info threads --json
grep -q "$print" out.txt || fail "other weights on another number of threads"

# pictures of another size: most networks take them, the maps of VAR are of one size
expect 0 "$tessera" synth scenes -n 20 --size 64 -o large.h5
for recipe in vqgan rqvae hqvae; do expect 0 "$tessera" eval $recipe --data large.h5; done
expect 3 "$tessera" eval var-tokenizer --data large.h5
grep -q 'images of 64x64: .* trained on 32x32 and takes no other size; pack with --size 32x32' err.txt || fail "another size: what to do is not said"

# weights of LPIPS: none given, no file, the wrong hash, another file
expect 2 "$tessera" train vqgan --preset tiny --data data.h5 -o lpips "$@" --set perceptual=lpips
grep -q 'perceptual_weights' err.txt || fail "what is missing is not said"
expect 1 "$tessera" train vqgan --preset tiny --data data.h5 -o lpips "$@" --set perceptual=lpips --set perceptual_weights=none.safetensors
printf '\047\0\0\0\0\0\0\0{"x":{"dtype":"U8","shape":[1],"data_off' >wrong.safetensors
expect 3 "$tessera" train vqgan --preset tiny --data data.h5 -o lpips "$@" --set perceptual=lpips --set perceptual_weights=wrong.safetensors
hash=$(sha256sum wrong.safetensors | cut -d' ' -f1)
grep -q "$hash" err.txt || fail "the hash of the file is not shown"
expect 3 "$tessera" train vqgan --preset tiny --data data.h5 -o lpips "$@" --set perceptual=lpips --set perceptual_weights=wrong.safetensors \
    --set perceptual_sha256=$hash
echo "adversarial recipes: as they should be"
