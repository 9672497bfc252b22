#!/bin/sh
# Every quantizer at 512 codes in one VQ-VAE network, for equal steps over three seeds, as one table.
#   sh recipes/compare_quantizers.sh TESSERA DATA.h5 FOLDER [STEPS [SETTING...]]     (32x32 images; the same command goes on)
# STEPS: 1500. SETTING: NAME=VALUE of the network and batch, instead of hidden=64 residual=32 batch=64.
# residual and multiscale have several codes of 512 a position: see bits per pixel; gaussian and none have no codes.
set -eu
[ $# -ge 3 ] || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
tessera=$1 data=$2 folder=$3 steps=${4:-1500}
shift $(($# < 4 ? 3 : 4))
[ $# -gt 0 ] || set -- hidden=64 residual=32 batch=64
n=$#
for setting; do set -- "$@" --set "$setting"; done
shift "$n"
# temperature falls for four fifths of the run
exec "$tessera" sweep vqvae --preset cifar10 --data "$data" -o "$folder" --steps "$steps" --grid seed=0,1,2 --set codes=512 "$@" \
    --set schedule=cosine --set eval_every=0 --set samples_every=0 \
    --case "quantizer=vq codebook=ema start=data" \
    --case "quantizer=vq codebook=ema start=data restart=0.5" \
    --case "quantizer=vq codebook=gradient start=data" \
    --case "quantizer=vq codebook=gradient start=normal cosine=true code_dim=8" \
    --case "quantizer=vq codebook=gradient start=normal simvq=true" \
    --case "quantizer=residual depth=2 restart=0.5" \
    --case "quantizer=multiscale scales=1,2,4,8 codebook=gradient start=data" \
    --case "quantizer=finite_scalar levels=8,8,8" \
    --case "quantizer=lookup_free entropy=0.1" \
    --case "quantizer=gumbel kl=5e-4 tau_steps=$((steps * 4 / 5))" \
    --case "quantizer=gaussian dim=4 codes=0" \
    --case "quantizer=none dim=4 codes=0"
