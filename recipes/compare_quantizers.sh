#!/bin/sh
# Every quantizer at 512 codes in the VQ-VAE network of the CIFAR-10 notebooks, for equal steps over three seeds, as one table.
#   sh recipes/compare_quantizers.sh TESSERA DATA.h5 FOLDER [STEPS]      (32x32 images; STEPS: 5000; the same command goes on)
# residual and multiscale have several codes of 512 a position: see bits per pixel; gaussian and none have no codes.
set -eu
[ $# -ge 3 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
exec "$1" sweep vqvae --preset cifar10 --data "$2" -o "$3" --steps "${4:-5000}" --grid seed=0,1,2 \
    --set codes=512 --set schedule=cosine --set eval_every=0 --set samples_every=0 \
    --case "quantizer=vq codebook=ema start=data" \
    --case "quantizer=vq codebook=ema start=data restart=0.5" \
    --case "quantizer=vq codebook=gradient start=data" \
    --case "quantizer=vq codebook=gradient start=normal cosine=true code_dim=8" \
    --case "quantizer=vq codebook=gradient start=normal simvq=true" \
    --case "quantizer=residual depth=2 restart=0.5" \
    --case "quantizer=multiscale scales=1,2,4,8 codebook=gradient start=data" \
    --case "quantizer=finite_scalar levels=8,8,8" \
    --case "quantizer=lookup_free entropy=0.1" \
    --case "quantizer=gumbel kl=5e-4 tau_steps=4000" \
    --case "quantizer=gaussian dim=4 codes=0" \
    --case "quantizer=none dim=4 codes=0"
