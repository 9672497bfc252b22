#!/bin/sh
# From a fresh Debian machine to a trained tokenizer: installs the packages that are missing, builds, runs `tessera demo`.
#
#   sh recipes/demo.sh [options of tessera demo]
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/recipes/packages.sh"

# shellcheck disable=SC2086
install_packages $build_packages
cmake -S "$here" -B "$here/build" -G Ninja -DTESSERA_TESTS=OFF >/dev/null
cmake --build "$here/build" --target tessera
exec "$here/build/recipes/tessera" demo "$@"
