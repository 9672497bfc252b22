#!/bin/sh
# Mutation check: breaks gradient rules one at a time and shows that the gradient checks notice.
#
#     sh tests/mutate.sh [--count N] [--seed S] [--all] [--list] [--library FILE]
#
# A mutation is textual: in a gradient rule of autograd/op_*.c, one `dx[i] = EXPRESSION;` becomes its negative, or one that is
# computed is dropped. N (10) of them are drawn with seed S (1), or all are tried. The engine in double is built in a scratch folder
# (or FILE, a libautograd_f64.a of this very tree, is used); for each mutation the one changed file is compiled and linked before the
# library with the gradient checks. Prints a line each; exit status 1 if one survives.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
count=10 seed=1 list=0 library=
while [ $# -gt 0 ]; do
    case $1 in
    --count) count=$2; shift ;;
    --seed) seed=$2; shift ;;
    --all) count=100000 ;;
    --list) list=1 ;;
    --library) library=$(realpath "$2"); shift ;;
    *) echo "usage: mutate.sh [--count N] [--seed S] [--all] [--list] [--library FILE]" >&2; exit 2 ;;
    esac
    shift
done
work=$(mktemp -d "${TMPDIR:-/tmp}/mutate.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
mkdir "$work/tree"
for part in CMakeLists.txt autograd nn optim data checkpoints recipes tests; do
    if [ -e "$here/$part" ]; then cp -R "$here/$part" "$work/tree/"; fi
done
cat >"$work/mutate.py" <<'PY'
"""plan COUNT SEED: one line a mutation, FILE TAB OFFSET TAB LENGTH TAB KIND TAB RULE;  apply FILE OFFSET LENGTH KIND: in place."""
import glob, random, re, sys

RULE = re.compile(r"^static void (\w+)\(ag_tensor \*\w+, ag_tensor \*\w+, ag_tensor \*\*(\w+)\)\n\{", re.M)


def sites():
    for path in sorted(glob.glob("autograd/op_*.c")):
        text = open(path).read()
        for rule in RULE.finditer(text):
            end = text.index("\n}", rule.end())
            place = re.compile(r"\b%s\[[^]]+\] = ([^;]+);" % rule.group(2))
            for m in place.finditer(text, rule.end(), end):
                for kind in ("negate", "drop"):
                    yield path, m.start(1), m.end(1) - m.start(1), kind, rule.group(1)


def plan(count, seed):
    found = list(sites())
    if count < len(found):  # at most one of a rule, as long as there are rules
        random.Random(seed).shuffle(found)
        chosen, rules = [], set()
        for again in (False, True):
            for s in found:
                if len(chosen) < count and s not in chosen and (again or s[4] not in rules):
                    chosen.append(s)
                    rules.add(s[4])
        found = sorted(chosen)
    for s in found:
        print(*s, sep="\t")


def apply(path, offset, length, kind):
    text = open(path).read()
    old = text[offset:offset + length]
    new = "ag_neg(%s)" % old if kind == "negate" else "NULL"
    open(path, "w").write(text[:offset] + new + text[offset + length:])
    line = text.count("\n", 0, offset) + 1
    print("%s:%d  %s" % (path, line, " ".join(old.split())))


if sys.argv[1] == "plan":
    plan(int(sys.argv[2]), int(sys.argv[3]))
else:
    apply(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
PY
cd "$work/tree"
python3 ../mutate.py plan "$count" "$seed" >../plan
if [ $list = 1 ]; then
    cat ../plan
    exit 0
fi
cc=${CC:-cc}
flags="-std=gnu17 -O1 -w -D_GNU_SOURCE -DAG_DOUBLE -fopenmp -fno-math-errno -ffp-contract=fast -Iautograd/include -Iautograd -Itests"
if [ -z "$library" ]; then
    cmake -S . -B ../build -DCMAKE_BUILD_TYPE=Release -DTESSERA_TESTS=OFF >../log 2>&1 &&
        cmake --build ../build --parallel --target autograd_f64 >../log 2>&1 || {
        tail -20 ../log >&2
        exit 1
    }
    library=$work/build/autograd/libautograd_f64.a
fi
mkdir ../tests
for source in tests/test_gradients_f64.c tests/gradients/*.c; do
    $cc $flags -c "$source" -o "../tests/$(basename "$source" .c).o"
done
# FILE: the checks with this file of the tree before the library
build() { $cc $flags "$1" ../tests/*.o "$library" -lcmocka -lm -o ../checks >../log 2>&1; }
check() { OMP_NUM_THREADS=1 ../checks >../out 2>&1; }
build autograd/op_add.c || {
    tail -20 ../log >&2
    exit 1
}
check || {
    tail -20 ../out >&2
    echo "the suite fails without a mutation" >&2
    exit 1
}
tried=0 caught=0
while IFS="$(printf '\t')" read -r file offset length kind rule; do
    cp "$file" ../original
    where=$(python3 ../mutate.py apply "$file" "$offset" "$length" "$kind")
    verdict=survived
    if ! build "$file"; then
        verdict="does not compile"
    elif ! check; then
        verdict=caught
        caught=$((caught + 1))
    fi
    tried=$((tried + 1))
    cp ../original "$file"
    printf '%-9s %-7s %s\n' "$verdict" "$kind" "$where"
done <../plan
echo "$caught of $tried mutations caught"
[ "$caught" = "$tried" ]
