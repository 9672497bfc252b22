#!/bin/sh
# Training steps here and in PyTorch, in turn on the same cores, and the ratio of the medians.
#
#   sh tests/bench/compare_torch.sh BUILD-FOLDER [PYTHON [ROUNDS]]     PYTHON must have torch
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1 python=${2:-python3} rounds=${3:-3}
results=$(mktemp)
trap 'rm -f "$results"' EXIT

# note WHO BATCH LINE: keeps images/s and MiB of a printed line.
note() {
    echo "$3" >&2
    echo "$3" | sed -n "s/.*: \([0-9]*\) images.*RSS \([0-9]*\) MiB/$1 $2 \1 \2/p" >>"$results"
}
for batch in 256 32 8; do
    round=0
    while [ $round -lt "$rounds" ]; do
        note tessera $batch "$("$build/tests/bench_step" $batch)"
        for layout in nchw nhwc; do note "torch-$layout" $batch "$("$python" "$here/torch_vqvae.py" $batch $layout)"; done
        round=$((round + 1))
    done
done
sort -k1,1 -k2,2n -k3,3n "$results" | awk '
    { key = $1 " " $2; n[key]++; speed[key, n[key]] = $3; if ($4 > peak[key]) peak[key] = $4 }
    function median(key) { return speed[key, int((n[key] + 1) / 2)] }
    END {
        print "| batch | tessera images/s | PyTorch images/s (best layout) | ratio | peak memory, MiB | PyTorch | share |"
        print "|---|---|---|---|---|---|---|"
        split("256 32 8", batches)
        for (i = 1; i <= 3; i++) {
            b = batches[i]
            best = median("torch-nchw " b) > median("torch-nhwc " b) ? "torch-nchw " b : "torch-nhwc " b
            t = "tessera " b
            printf "| %d | %d | %d | %.2f | %d | %d | %.2f |\n", b, median(t), median(best), median(t) / median(best), peak[t], peak[best], peak[t] / peak[best]
        }
    }'
