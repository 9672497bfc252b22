#!/bin/sh
# Train, stop, resume, evaluate, encode, decode, on a small built-in data set. Usage: e2e_train.sh TESSERA
. "$(dirname "$0")/e2e.sh"

small="hidden=8 residual=4 blocks=1 dim=4 codes=16 batch=16 log_every=5 eval_every=10 samples_every=10 flip=true restart=0.5
       warmup=3"
set -- ; for option in $small; do set -- "$@" --set "$option"; done

expect 0 "$tessera" synth scenes -n 100 --size 32 -o data.h5

# twenty steps: the loss falls, the files appear
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o whole --steps 20 "$@"
grep -q '"codes": 16,' whole/run.json && grep -q '"lr": 0.001,' whole/run.json || fail "run.json does not hold the options"
expect 0 "$tessera" train vqvae --config whole/run.json --data data.h5 -o again --steps 1
grep -q 'memory planned' err.txt || fail "planned memory is not printed"
for file in run.json metrics.jsonl checkpoint.h5 best.h5 report.html samples/recon-00000010.png samples/recon-00000020.png; do
    [ -s "whole/$file" ] || fail "whole/$file is missing"
done
grep -q '<polyline' whole/report.html && grep -q 'src="data:image/png;base64,iVBOR' whole/report.html || fail "report.html lacks curves or samples"
grep -Eq 'https?://|<script|<link' whole/report.html && fail "report.html needs other files"
grep -q '^memory measured' err.txt || fail "measured memory is not printed"
ls whole/events.out.tfevents.* >/dev/null
[ "$(grep -c '"split":"train"' whole/metrics.jsonl)" = 4 ] || fail "not a line per log step"
grep -q "$(printf '\r')" err.txt && fail "carriage return in what is no terminal"
falls loss whole

# the same seed gives the same bytes, another thread count too; another seed does not
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o threads --steps 20 --threads 3 "$@"
expect 0 "$tessera" info whole --tensors
expect 0 "$tessera" info whole --json; print=$(sed -n 's/.*"fingerprint":[[:space:]]*"\([0-9a-f]*\)".*/\1/p' out.txt)
expect 0 "$tessera" info threads --json
grep -q "$print" out.txt || fail "other weights on another number of threads"
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o seed --steps 20 --seed 1 "$@"
expect 0 "$tessera" info seed --json
grep -q "$print" out.txt && fail "the same weights for another seed"

print=$(sed -n 's/.*"fingerprint":[[:space:]]*"\([0-9a-f]*\)".*/\1/p' out.txt)

# stopped by a signal at whatever step, and resumed by the command that was printed: the bytes of a run that was not stopped
for signal in INT:130 TERM:143; do
    rm -rf stopped straight
    "$tessera" train vqvae --preset tiny --data data.h5 -o stopped --steps 1000000 "$@" >out.txt 2>err.txt & pid=$!
    while ! grep -q '"step":10,' stopped/metrics.jsonl 2>/dev/null; do sleep 0.02; done
    kill -${signal%:*} $pid
    got=0; wait $pid || got=$?
    [ "$got" = "${signal#*:}" ] || { cat err.txt >&2; fail "SIG${signal%:*}: status $got"; }
    step=$(sed -n 's/^stopped at step \([0-9]*\), saved.*/\1/p' err.txt)
    grep -q 'train vqvae --data data.h5 -o stopped --resume' err.txt || fail "the resume command is not printed"
    eval "$(grep -- '--resume' err.txt | tail -1) --steps $((step + 12))" >out.txt 2>&1 || { cat out.txt >&2; fail "resuming"; }
    expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o straight --steps $((step + 12)) "$@"
    cmp straight/checkpoint.h5 stopped/checkpoint.h5 || fail "resumed at step $step: other bytes than a run in one go"
    grep -q '"event":"resume"' stopped/metrics.jsonl || fail "the resume is not in metrics.jsonl"
done

# kill -9: the checkpoint of before stays readable, and resuming gives the bytes of a run in one go
"$tessera" train vqvae --preset tiny --data data.h5 -o killed --steps 1000000 --set save_every=10 "$@" 2>err.txt & pid=$!
while ! grep -q '"step":25,' killed/metrics.jsonl 2>/dev/null; do sleep 0.02; done
kill -9 $pid
wait $pid 2>/dev/null || true
expect 0 "$tessera" info killed --json
step=$(number step out.txt)
expect 0 "$tessera" train vqvae -o killed --resume --steps $((step + 8))
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o straight2 --steps $((step + 8)) --set save_every=10 "$@"
cmp straight2/checkpoint.h5 killed/checkpoint.h5 || fail "resumed after kill -9: other bytes"

# micro-batches: counted as the batch they make up, and resumed bit for bit
interrupted parts 10 "$tessera" train vqvae --preset tiny --data data.h5 -o parts --steps 1000000 "$@" --set batch=4 --set accumulate=4
expect 0 "$tessera" train vqvae -o parts --resume --steps $((step + 7))
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o parts2 --steps $((step + 7)) "$@" --set batch=4 --set accumulate=4
cmp parts2/checkpoint.h5 parts/checkpoint.h5 || fail "resumed with micro-batches: other bytes"
a=$(sed -n 's/.*"step":10,.*"epoch":\([0-9.]*\),.*/\1/p' parts/metrics.jsonl)
b=$(sed -n 's/.*"step":10,.*"epoch":\([0-9.]*\),.*/\1/p' whole/metrics.jsonl)
[ "$a" = "$b" ] || fail "4 micro-batches of 4: epoch $a at step 10, $b with batches of 16"

# averages of the weights: kept, resumed bit for bit, used by eval, both figures logged
keep="--set average=0.9 --set clip=0.5 --set optimizer=adamw --set weight_decay=0.01"
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o mean --steps 30 "$@" $keep
interrupted mean2 10 "$tessera" train vqvae --preset tiny --data data.h5 -o mean2 --steps 1000000 "$@" $keep
expect 0 "$tessera" train vqvae -o mean2 --resume --steps $((step + 7))
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o mean3 --steps $((step + 7)) "$@" $keep
cmp mean2/checkpoint.h5 mean3/checkpoint.h5 || fail "averages resumed: other bytes"
expect 0 "$tessera" eval mean --data data.h5 --json; average=$(number nmse out.txt)
grep -q '"weights":[[:space:]]*"average"' out.txt || fail "eval does not use the averages"
expect 0 "$tessera" eval mean --data data.h5 --json --last-weights; last=$(number nmse out.txt)
awk -v a="$average" -v l="$last" '/"step":30,"split":"validation"/ {
    match($0, /"nmse":[0-9.e-]*/); x = substr($0, RSTART + 7, RLENGTH - 7)
    match($0, /"nmse_last":[0-9.e-]*/); y = substr($0, RSTART + 12, RLENGTH - 12)
    ok = (x - a) ^ 2 < 1e-12 && (y - l) ^ 2 < 1e-12 && a != l } END { exit !ok }' mean/metrics.jsonl ||
    fail "eval $average and $last, not what the run logged"
grep -q '"grad_norm":' mean/metrics.jsonl || fail "the gradient's norm is not logged"
expect 0 "$tessera" encode mean --data data.h5 -o mean.codes.h5
expect 0 "$tessera" decode mean mean.codes.h5 -o mean.decoded.h5
expect 0 "$tessera" reconstruct mean --data data.h5 --split all -o mean.direct.h5
cmp mean.direct.h5 mean.decoded.h5 || fail "decode(encode) is not reconstruct with averages"

# weights of another run, frozen parts, a larger codebook
expect 0 "$tessera" train vqvae --preset tiny --data data.h5 -o more --steps 5 "$@" --set codes=24 --set freeze=encoder --init-from whole
grep -q 'tensors taken from whole/checkpoint.h5' err.txt && grep -q '16 codes become 24' err.txt || fail "--init-from does not say what it took"
expect 2 "$tessera" train vqvae --data data.h5 -o more --resume --init-from whole
expect 2 "$tessera" train vqvae --preset tiny --data data.h5 -o never --steps 5 --set freeze=encodr
"$tessera" recipes vqvae | grep -A1 '^  freeze  *none ' >/dev/null || fail "recipes does not explain freeze"

# a bound of memory: first blocks are computed twice, with the same bits; then it is refused with the largest batch that fits
planned() { sed -n 's/^memory planned \([0-9.]*\) MiB.*/\1/p' err.txt; }
bounded() { # STATUS SIZE BATCH ACCUMULATE: two steps
    rm -rf bound; expect "$1" "$tessera" train vqvae --preset tiny --data data.h5 -o bound --steps 2 --memory "$2" --set hidden=16 \
        --set batch="$3" --set accumulate="$4"
}
bounded 0 1G 64 1; kept=$(planned); cp bound/checkpoint.h5 kept.h5
bounded 0 "$(awk "BEGIN { print int(($kept - 1) * 1048576) }")" 64 1
grep -q "marked blocks are computed twice: .* MiB less, .*% more operations" err.txt || fail "recomputation is not told"
cmp bound/checkpoint.h5 kept.h5 || fail "other bytes with blocks computed twice"
awk "BEGIN { exit !($(planned) < $kept - 0.9) }" || fail "$(planned) MiB planned under a bound of $kept - 1"
bounded 1 7M 64 1
fits=$(sed -n 's/.* batch=\([0-9]*\) would fit.*/\1/p' err.txt)
parts=$(sed -n 's/.*--set batch=\([0-9]*\) --set accumulate=\([0-9]*\) makes.*/\1 \2/p' err.txt)
[ -n "$fits" ] && [ -n "$parts" ] || fail "no advice: $(cat err.txt)"
bounded 0 7M "$fits" 1
awk "BEGIN { exit !($(planned) <= 7) }" || fail "batch=$fits: $(planned) MiB planned"
bounded 1 7M $((fits + 1)) 1
bounded 0 7M $parts
[ $((${parts% *} * ${parts#* })) = 64 ] || fail "$parts is not 64 images a step"

# what the recipe refuses is no advice, and does not hide the figure: batches of too few latents for restart; micro-batches of a codebook
# that learns once per depth, or of a network with statistics of a batch
needs() { # SIZE RECIPE OPTIONS...: refused with the figure and a batch that fits
    size=$1 recipe=$2; shift 2
    expect 1 "$tessera" train "$recipe" --preset tiny --data data.h5 -o never --memory "$size" "$@"
    tail -1 err.txt | grep -q "^tessera: --memory: the run needs [0-9.]* MiB.*, allowed are [0-9.]*; batch=[0-9]* would fit" ||
        fail "$recipe, $size: no figure: $(cat err.txt)"
}
needs 72M vqgan
grep -q -- "--set accumulate=" err.txt || fail "no micro-batches: $(cat err.txt)"
needs 72M vqgan --set disc_norm=batch
! grep -q -- "--set accumulate=" err.txt || fail "micro-batches with batch norm: $(cat err.txt)"
needs 70M rqvae --set restart=0
! grep -q "accumulate=" err.txt || fail "micro-batches of a codebook that learns once per depth: $(cat err.txt)"
expect 1 "$tessera" train rqvae --preset tiny --data data.h5 -o never --memory 1M
grep -q "the run needs [0-9.]* MiB.*, allowed are 1.0; no smaller batch would fit: weights and moments take" err.txt || fail "1 MiB: $(cat err.txt)"

# evaluation: one object, and the numbers of the text form
expect 0 "$tessera" eval whole --data data.h5 --json
[ "$(head -c 1 out.txt)" = "{" ] && [ "$(tail -c 2 out.txt | head -c 1)" = "}" ] || fail "eval --json is not one object"
[ ! -s err.txt ] || fail "eval --json talks on stderr: $(cat err.txt)"
[ "$(number images out.txt)" = 10 ] || fail "eval: $(number images out.txt) images, not the 10 of the validation split"
for key in mse nmse psnr ssim bits_per_pixel codes used usage perplexity; do
    [ -n "$(number $key out.txt)" ] || fail "eval --json lacks $key"
done
awk "BEGIN { exit !($(number bits_per_pixel out.txt) == 4 * 64 / 1024) }" || fail "bits per pixel"
awk "BEGIN { exit !($(number nmse out.txt) < 1.5) }" || fail "nmse $(number nmse out.txt)"

expect 0 "$tessera" report whole
expect 0 "$tessera" eval whole --data data.h5 --usage usage.png
[ "$(head -c 4 usage.png | tail -c 3)" = PNG ] || fail "usage.png is no PNG"

# encode + decode = reconstruct, bit for bit
expect 0 "$tessera" reconstruct whole --data data.h5 -o grid.png
[ "$(head -c 4 grid.png | tail -c 3)" = PNG ] || fail "grid.png is no PNG"
expect 0 "$tessera" reconstruct whole --data data.h5 --split all -o direct.h5
expect 0 "$tessera" encode whole --data data.h5 -o codes.h5
expect 0 "$tessera" decode whole codes.h5 -o decoded.h5
expect 0 "$tessera" decode whole codes.h5 -o pictures
[ "$(ls pictures | wc -l)" = 100 ] || fail "decode: not 100 pictures"
cmp direct.h5 decoded.h5 || fail "decode(encode) is not reconstruct"
expect 0 "$tessera" info codes.h5 --json
[ "$(number images out.txt)" = 100 ] || fail "codes.h5: not 100 images"

echo "e2e_train: all good"
