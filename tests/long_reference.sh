#!/bin/sh
# The synthetic reference trainings: eleven bottlenecks on the fixed set, 3,000 steps each, must land in the bands around the values
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
        /"perplexity"/ { gsub(/[",]/, ""); perplexity = perplexity sprintf(" %.1f", $2) }
        /"used"/ { gsub(/[",]/, ""); used = used " " $2 }
        END {
            good = nmse != "" && nmse + 0 >= low && nmse + 0 <= high
            printf "%-14s nmse %.4f in %.4f..%.4f: %s%s\n", name, nmse, low, high, good ? "yes" : "NO", perplexity == "" ? "" : "   perplexity" perplexity ", codes used" used
            exit !good
        }' "$name.json" || failed=1
}

row none 0.0285 0.0353 --set quantizer=none
row vq 0.0834 0.1224
row ema_debiased 0.0683 0.0926 --set codebook=ema --set debias=true
row ema_restart 0.0643 0.0896 --set codebook=ema --set start=normal --set initial_count=0 --set restart=1
row ema 0.0688 0.1045 --set codebook=ema --set start=normal --set initial_count=0
row gaussian 0.0387 0.0474 --set quantizer=gaussian --set dim=4 --set kl=1e-3
row residual 0.0356 0.0446 --set quantizer=residual --set depth=4 --set shared=true --set codebook=ema --set start=normal \
    --set initial_count=0 --set restart=1
row finite_scalar 0.0557 0.0696 --set quantizer=finite_scalar --set dim=3 --set codes=200 --set levels=8,5,5
row cosine 0.0814 0.1005 --set cosine=true --set dim=8 --set start=normal
row gumbel 0.0902 0.1121 --set quantizer=gumbel --set start=normal --set tau_steps=2000 --set kl=5e-4
row lookup_free 0.1043 0.1349 --set quantizer=lookup_free --set dim=6 --set entropy=0.1
exit $failed
