#!/bin/sh
# The synthetic reference trainings: four bottlenecks on the fixed set, 3,000 steps each, must land in the bands around the values
# that an independent implementation reached (two seeds of it; +-10 %, vq and the averaged codebooks +-15 %).
#
#   sh tests/long_reference.sh build/recipes/tessera
set -eu
tessera=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$tessera" synth reference -o reference.h5
failed=0

# row NAME LOW HIGH OPTIONS...: trains, evaluates on the validation split, compares nmse.
row() {
    name=$1 low=$2 high=$3
    shift 3
    "$tessera" train vqvae --preset reference "$@" --data reference.h5 -o "run-$name" --seed 0 --quiet
    "$tessera" eval "run-$name" --data reference.h5 --split validation --json >"$name.json"
    awk -v name="$name" -v low="$low" -v high="$high" '
        /"nmse"/ { gsub(/[",]/, ""); nmse = $2 }
        /"perplexity"/ { gsub(/[",]/, ""); perplexity = $2 }
        /"used"/ { gsub(/[",]/, ""); used = $2 }
        END {
            good = nmse != "" && nmse + 0 >= low && nmse + 0 <= high
            printf "%-14s nmse %.4f in %.4f..%.4f: %s   perplexity %.1f, %d codes used\n", name, nmse, low, high, good ? "yes" : "NO", perplexity, used
            exit !good
        }' "$name.json" || failed=1
}

row none 0.0285 0.0353 --set quantizer=none
row vq 0.0834 0.1224
row ema_debiased 0.0683 0.0926 --set codebook=ema --set debias=true
row ema_restart 0.0643 0.0896 --set codebook=ema --set start=normal --set initial_count=0 --set restart=1
exit $failed
