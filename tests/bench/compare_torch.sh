#!/bin/sh
# Training steps here and in PyTorch, in turn on the same cores: medians, their ratio beside the goal (of memory: at most 0.4), peak memory.
#
#   sh tests/bench/compare_torch.sh BUILD-FOLDER [PYTHON [ROUNDS [WORK:BATCH...|recipes]]]
#
# A work is one of bench_step's (a network with a loss), or recipe-NAME: the whole step of `tessera bench NAME`, with quantizer, losses,
# discriminator and updates, at the presets of torch_models.py; `recipes`: all of these. (`torch_recipes.py check TESSERA`
# says whether the steps of both programs are the same.)
#
# PYTHON must have torch, for recipes numpy and h5py too. PyTorch runs eager and compiled, in both layouts for images; the table takes
# its best. A setting that fails (torch.compile needs a C++ compiler, and minutes for each recipe) is left out and said so. In the
# environment: FLAGS=bf16: bf16 in both (encoding stays fp32 here; not for recipes); MODES, LAYOUTS: fewer settings.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$1 python=${2:-python3} rounds=${3:-3}
if [ $# -gt 3 ]; then shift 3; else
    set -- vqvae:256 vqvae:32 vqvae:8 encode:256 vqgan64:8 gpt-256-64:16 gpt-256-256:16 gpt-512-64:16 gpt-512-256:16
fi
if [ "$1" = recipes ]; then
    set -- $("$python" "$here/torch_recipes.py" list)
fi
results=$(mktemp) failed=$(mktemp)
trap 'rm -f "$results" "$failed"' EXIT

# note JOB WHO COMMAND...: keeps samples/s and MiB of the line it prints.
note() {
    of=$1 who=$2
    shift 2
    if grep -qx "$of $who" "$failed"; then return; fi
    if line=$("$@" 2>/dev/null); then
        echo "$line" >&2
        echo "$line" | sed -n "s|.*: \([0-9.]*\) samples/s.*RSS \([0-9]*\) MiB|$of $who \1 \2|p" >>"$results"
    else
        echo "$of: $who does not run, left out" >&2
        echo "$of $who" >>"$failed"
    fi
}
round=0
while [ $round -lt "$rounds" ]; do
    for job in "$@"; do
        work=${job%:*} batch=${job#*:}
        case $work in gpt*) layouts=nchw ;; *) layouts=${LAYOUTS:-nchw nhwc} ;; esac
        case $work in
            recipe-*) program="$here/torch_recipes.py" work=${work#recipe-}
                note "$job" tessera "$python" "$program" tessera "$build/recipes/tessera" "$work" "$batch" ;;
            *) program="$here/torch_step.py"
                note "$job" tessera "$build/tests/bench_step" "$work" "$batch" ${FLAGS:-} ;;
        esac
        for layout in $layouts; do
            for compile in ${MODES:-eager compile}; do
                [ $compile = compile ] && mode=compiled || mode=eager
                note "$job" "torch-$mode-$layout" "$python" "$program" "$work" "$batch" $layout $compile ${FLAGS:-}
            done
        done
    done
    round=$((round + 1))
done
model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
echo "$(date -u +%F), ${model:-unknown CPU}, $("$python" -c 'import torch; print("PyTorch", torch.__version__)'), medians of $rounds round(s); ${FLAGS:-fp32}"
echo
sort -k1,1 -k2,2 -k3,3n "$results" | awk -v order="$*" -v flags="${FLAGS:-}" '
    { key = $1 " " $2; n[key]++; speed[key, n[key]] = $3; if ($4 > peak[key]) peak[key] = $4; if ($2 != "tessera") rivals[$1, $2] = 1 }
    function goal(work) { return work ~ /^gpt/ ? (flags == "" ? 1.5 : "") : work ~ /^vqgan|^recipe/ ? 2.5 : 3 }
    function median(key) { return speed[key, int((n[key] + 1) / 2)] }
    END {
        print "| work | batch | tessera samples/s | PyTorch samples/s (best setting) | ratio | goal | peak memory, MiB | PyTorch | share |"
        print "|---|---|---|---|---|---|---|---|---|"
        count = split(order, jobs)
        for (i = 1; i <= count; i++) {
            t = jobs[i] " tessera"; best = ""
            for (r in rivals) {
                split(r, part, SUBSEP)
                key = part[1] " " part[2]
                if (part[1] == jobs[i] && (best == "" || median(key) > median(best))) best = key
            }
            if (best == "" || !n[t]) continue
            split(jobs[i], name, ":"); split(best, who, " ")
            printf "| %s | %d | %.1f | %.1f (%s) | %.2f | %s | %d | %d | %.2f |\n", name[1], name[2], median(t), median(best), substr(who[2], 7), median(t) / median(best), goal(name[1]), peak[t], peak[best], peak[t] / peak[best]
        }
    }'
