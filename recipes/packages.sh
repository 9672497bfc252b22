# Sourced by recipes/demo.sh and tests/run.sh: the Debian packages Tessera is built with, and how to install them.

build_packages='gcc libc6-dev cmake ninja-build pkg-config libhdf5-dev libjpeg62-turbo-dev libpng-dev libcjson-dev'
thread_checker_packages='clang libomp-dev' # tests/run.sh --sanitize thread

# install_packages NAME...: installs those that are missing, as root or with sudo.
install_packages() {
    missing=''
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "these packages (Debian names) are needed and there is no apt-get to install them:$missing" >&2
        exit 1
    fi
    as_root=''
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "packages are missing and there is neither root nor sudo; run as root: apt-get install$missing" >&2
            exit 1
        fi
        as_root=sudo
    fi
    echo "installing:$missing"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
