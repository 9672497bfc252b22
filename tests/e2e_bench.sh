#!/bin/sh
# tessera bench: the table over all recipes goes on where one cannot run; nothing is measured where there is nothing to measure.
# Usage: e2e_bench.sh TESSERA
. "$(dirname "$0")/e2e.sh"

# the help says which preset is taken
"$tessera" bench --help >out.txt
grep -q "cifar10, else photos64" out.txt || fail "--help does not say which preset is measured"

# images too large for any machine, and for the maps of var-tokenizer: a line each that says why, and the table goes on
expect 0 "$tessera" bench --size 16384 --seconds 1
"$tessera" recipes | sed -n 's/^\([a-z][a-z0-9-]*\)  .*/\1/p' >names.txt
grep -q features names.txt || fail "the recipes are not listed"
for recipe in $(cat names.txt); do
    why="in the memory that is free: the plan needs [0-9.]* MiB"
    [ $recipe != var-tokenizer ] || why="scales: the last has 8 rows"
    [ "$(grep -c "^$recipe  *cifar10 .*not measured: .*$why" out.txt)" = 1 ] || { cat out.txt >&2; fail "$recipe: no reason"; }
done
expect 0 "$tessera" bench --size 16384 --seconds 1 --json
[ "$(grep -c '"error":' out.txt)" = "$(wc -l <names.txt)" ] || { cat out.txt >&2; fail "--json lacks errors"; }

# one that was named is an error, with what to do
expect 1 "$tessera" bench vqvae --preset paper --set batch=65536 --size 1024
grep -q "^tessera: vqvae, preset paper, in the memory that is free: the plan needs [0-9.]* MiB.*a batch of [0-9]* would fit" err.txt ||
    { cat err.txt >&2; fail "no figure, or no batch that would fit"; }

# the usual preset of one that was named; a recipe without codes has no speed of encoding
small="--size 16 --seconds 1"
expect 0 "$tessera" bench vqvae $small --set batch=2
grep -q "^vqvae  *cifar10 " out.txt || fail "not the usual preset"
[ "$(awk '$1 == "vqvae" { print ($9 > 0) }' out.txt)" = 1 ] || { cat out.txt >&2; fail "vqvae has no speed of encoding"; }
expect 0 "$tessera" bench vae $small --set batch=2
[ "$(awk '$1 == "vae" { print $9 }' out.txt)" = - ] || { cat out.txt >&2; fail "vae has no codes to encode"; }
expect 0 "$tessera" bench vae $small --set batch=2 --json
! grep -q encode_images_per_s out.txt || fail "vae encodes in --json"
