#!/bin/sh
# Every tokenizer trained at one preset for a few steps, and one table: do all of them learn on this machine and these pictures?
#   sh recipes/train_all.sh TESSERA DATA.h5 FOLDER [PRESET [STEPS [SETTING...]]]           (the same command goes on)
# PRESET: cifar10 (32x32 images), or photos64, tiny. STEPS: 300; discriminators learn from two thirds of them on. SETTING: NAME=VALUE for all.
set -eu
[ $# -ge 3 ] || { sed -n '2,4s/^# *//p' "$0" >&2; exit 2; }
tessera=$1 data=$2 folder=$3 preset=${4:-cifar10} steps=${5:-300}
shift $(($# < 5 ? $# : 5))
n=$#
for setting; do set -- "$@" --set "$setting"; done
shift "$n"
mkdir -p "$folder"
for recipe in vqvae vqvae2 dvae vqgan rqvae hqvae var-tokenizer vitvqgan vae; do
    case $recipe in
    vqgan | rqvae | hqvae | var-tokenizer | vitvqgan)
        more="--set disc_start=$((steps * 2 / 3)) --set gan_start=$((steps * 2 / 3 + steps / 30)) --set gan_ramp=$((steps / 10))" ;;
    *) more='' ;;
    esac
    # shellcheck disable=SC2086
    "$tessera" sweep "$recipe" --preset "$preset" --data "$data" -o "$folder/$recipe" --steps "$steps" --set "warmup=$((steps / 10))" \
        --set eval_every=0 --set samples_every=0 $more --case "seed=0" "$@" >"$folder/$recipe.txt"
    sed -n "s/^| as it is |/| $recipe |/p" "$folder/$recipe/table.md"
done | { echo "| recipe | runs | steps | nmse | PSNR, dB | SSIM | codes used, % | perplexity | bits per pixel |"
         echo "|---|---|---|---|---|---|---|---|---|"
         cat; }
