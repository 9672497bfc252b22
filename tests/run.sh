#!/bin/sh
# Installs what the tests need, builds, and runs them all through ctest.
#
#   sh tests/run.sh            the default suite
#   sh tests/run.sh --long     with the training runs that take minutes each
#   sh tests/run.sh --coverage with line coverage of the library folders at the end
set -eu
cd "$(dirname "$0")/.."
. recipes/packages.sh

long='' coverage='' build=build-tests
for argument in "$@"; do
    case $argument in
    --long) long=1 ;;
    --coverage) coverage=1 build=build-coverage ;;
    *) echo "tests/run.sh: unknown argument '$argument'; it takes --long and --coverage" >&2; exit 2 ;;
    esac
done

install_packages $build_packages libcmocka-dev ${coverage:+gcovr}
cmake -S . -B "$build" -G Ninja -DTESSERA_TESTS=ON ${coverage:+-DTESSERA_COVERAGE=ON} >/dev/null
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
