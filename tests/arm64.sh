#!/bin/sh
# The NEON kernels on an x86 machine: cross-compiled and run by an emulator.
#
#   sh tests/arm64.sh [TEST...]          default: test_kernels
#
# Debian packages: gcc-12-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static, and from the architecture arm64 (dpkg
# --add-architecture arm64; apt-get update) libcmocka-dev:arm64 libgomp1:arm64.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cc=aarch64-linux-gnu-gcc-12 emulator=qemu-aarch64-static libraries=/usr/lib/aarch64-linux-gnu
for tool in $cc $emulator; do
    command -v $tool >/dev/null || { echo "tests/arm64.sh: $tool not found; the packages are named at the top of this file" >&2; exit 1; }
done
for library in libcmocka.so libgomp.so.1; do
    [ -e $libraries/$library ] || { echo "tests/arm64.sh: no $libraries/$library; the packages are named at the top of this file" >&2; exit 1; }
done
[ $# -gt 0 ] || set -- test_kernels
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c17 -O2 -D_GNU_SOURCE -fopenmp -fno-math-errno -ffp-contract=fast -Wno-unknown-pragmas
    -I$root/autograd/include -I$root/autograd -I$root/autograd/kernels
    -I/usr/include"
build() {
    $cc $flags $2 -c "$1" -o "$out/$(basename "$1" .c)$3.o" || { echo "tests/arm64.sh: $1 does not compile" >&2; exit 1; }
}
for file in "$root"/autograd/*.c; do build "$file" "" ""; done
for file in "$root"/autograd/kernels/*.c; do build "$file" "-O3 -DK_SET=generic" _kernel; done
status=0
for test in "$@"; do
    $cc $flags "$root/tests/$test.c" "$out"/*.o -o "$out/$test" -L$libraries -lcmocka -lm -Wl,--allow-shlib-undefined
    OMP_NUM_THREADS=2 $emulator -L / "$out/$test" || status=1
done
exit $status
