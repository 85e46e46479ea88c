#!/usr/bin/env bash
# Set up everything that the recipe and the tests need, once, inside this checkout:
# a virtual environment (.venv-X.Y) with pinned versions, and sclite.
#
#   . conf/install.sh            then ${KD_PYTHON} is the environment's python
#
# PYTHON    interpreter to start from (default: python3; 3.10 to 3.13)
# KD_PYTHON set beforehand to a python that has it all: nothing is installed
set -euo pipefail

_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
_say() { echo "[install] $*" >&2; }

_install_python() {
    local base=${PYTHON:-python3} version pins
    version=$("${base}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    pins=${_root}/conf/pins/py${version/./}.txt
    if [ ! -f "${pins}" ]; then
        _say "${base} is Python ${version}; ESPnet needs 3.10 to 3.13. Set PYTHON to one."
        exit 1
    fi
    local venv=${_root}/.venv-${version}
    KD_PYTHON=${venv}/bin/python
    # The mark holds what was installed, so that changed pins install again.
    if [ -f "${venv}/installed" ] \
        && cat "${pins}" "${_root}/setup.py" | cmp -s - "${venv}/installed"; then
        return
    fi
    _say "1/3 virtual environment ${venv##*/} (Python ${version})"
    "${base}" -m venv "${venv}"
    # pip 26.3 refuses espnet 202511, whose ci_sdr names a direct URL.
    "${KD_PYTHON}" -m pip install --quiet --disable-pip-version-check \
        "pip==26.2" "setuptools<74" wheel
    _say "2/3 ESPnet, PyTorch and tools, about 6 GB; 3 to 5 minutes, once"
    "${KD_PYTHON}" -m pip install --disable-pip-version-check --progress-bar off \
        --constraint "${pins}" --editable "${_root}[recipe,deploy,test]" \
        | sed -u -n -e 's/^Collecting \([^ ]*\).*/[install]   \1/p' \
            -e 's/^Installing collected.*/[install]   unpacking .../p' >&2
    cat "${pins}" "${_root}/setup.py" > "${venv}/installed"
}

_install_sclite() {
    if command -v sclite > /dev/null || [ -x /usr/lib/sctk/bin/sclite ]; then
        return
    fi
    if [ -x "${_root}/.tools/usr/lib/sctk/bin/sclite" ]; then
        PATH=${_root}/.tools/usr/lib/sctk/bin:${PATH}
        return
    fi
    if ! command -v apt-get > /dev/null; then
        _say "sclite is not here and this is no Debian: scoring will say how to get it"
        return
    fi
    # Unpacked beside, not installed: that needs no root, and changes no system.
    _say "3/3 sclite (Debian package sctk)"
    mkdir -p "${_root}/.tools"
    if ! (cd "${_root}/.tools" \
        && { apt-get download -qq sctk 2> /dev/null \
            || { apt-get update -qq && apt-get download -qq sctk; }; } \
        && dpkg -x sctk_*.deb .) > "${_root}/.tools/log" 2>&1; then
        _say "sctk could not be fetched (see .tools/log); scoring will say how to get it"
        return
    fi
    PATH=${_root}/.tools/usr/lib/sctk/bin:${PATH}
}

if [ -z "${KD_PYTHON:-}" ]; then
    _install_python
fi
_install_sclite
export KD_PYTHON PATH
