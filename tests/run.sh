#!/bin/sh
# Installs what the tests need, builds, and runs them all through ctest.
#
#   sh tests/run.sh            the default suite
#   sh tests/run.sh --long     with the training runs that take minutes each
#   sh tests/run.sh --coverage with line coverage of the library folders at the end
#   sh tests/run.sh --sanitize address    under gcc's checkers of memory and of undefined behaviour
#   sh tests/run.sh --sanitize thread     under clang's checker of races
set -eu
cd "$(dirname "$0")/.."
. recipes/packages.sh

usage() { echo "tests/run.sh: '$1' is not understood; it takes --long, --coverage, --sanitize address, --sanitize thread" >&2; exit 2; }

long='' coverage='' build=build-tests packages='' options=''
while [ $# -gt 0 ]; do
    case $1 in
    --long) long=1 ;;
    --coverage) coverage=1 build=build-coverage packages=gcovr options=-DTESSERA_COVERAGE=ON ;;
    --sanitize)
        case ${2-} in
        address) build=build-asan options='--preset asan' ;;
        thread) build=build-tsan options='--preset tsan' packages=$thread_checker_packages ;;
        *) usage "$1 ${2-}" ;;
        esac
        shift ;;
    *) usage "$1" ;;
    esac
    shift
done

# shellcheck disable=SC2086
install_packages $build_packages libcmocka-dev $packages
# shellcheck disable=SC2086
cmake -S . -B "$build" -G Ninja $options -DTESSERA_TESTS=ON >/dev/null
cmake --build "$build"
if [ -n "$long" ]; then
    ctest --test-dir "$build" --output-on-failure --no-tests=error
else
    ctest --test-dir "$build" --output-on-failure --no-tests=error -LE long
fi
if [ -n "$coverage" ]; then
    for folder in autograd nn optim data checkpoints recipes; do
        printf '%-12s ' "$folder"
        # the kernels are compiled three times, which this gcovr cannot merge
        gcovr -r . "$build" -f "$folder/" -e autograd/kernels/ | grep TOTAL
    done
fi
