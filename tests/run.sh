#!/usr/bin/env bash
# Set up what the tests need and run them, on both ESPnet lines if both Pythons are here.
#
#   tests/run.sh [--slow] [PYTEST ARGUMENT ...]
#
# --slow   also the marked tests: every stage of the recipe, real audio if it is there
# PYTHON   the first interpreter (default: python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

selection=(-m "not slow")
if [ "${1:-}" = --slow ]; then selection=(--durations=20); shift; fi

minor() { "$1" -c 'import sys; print(sys.version_info[1])' 2> /dev/null; }
# An interpreter of the other ESPnet line: 3.12 or 3.13 beside 3.10 or 3.11, or the reverse.
other_line() {
    local wanted candidate
    if [ "$1" -lt 12 ]; then wanted="12 13"; else wanted="11 10"; fi
    for m in ${wanted}; do
        for candidate in "python3.${m}" \
            "${PYENV_ROOT:-${HOME}/.pyenv}"/versions/3."${m}".*/bin/python3; do
            if [ "$(minor "${candidate}")" = "${m}" ]; then echo "${candidate}"; return; fi
        done
    done
}

first=${PYTHON:-python3}
interpreters=("${first}")
second=$(other_line "$(minor "${first}")")
if [ -n "${second}" ]; then interpreters+=("${second}"); fi

pythons=()
for interpreter in "${interpreters[@]}"; do
    unset KD_PYTHON
    # shellcheck source=conf/install.sh
    PYTHON=${interpreter} . conf/install.sh
    pythons+=("${KD_PYTHON}")
done

"${pythons[0]}" -m ruff check .
"${pythons[0]}" -m ruff format --check --quiet .
# On both lines: libraries are of other versions there, and so are their types.
for python in "${pythons[@]}"; do "${python}" -m mypy --no-error-summary; done
git ls-files '*.sh' .ci/run | xargs "$(dirname "${pythons[0]}")/shellcheck" -x

# One line a core: two one-thread runs use two cores better than one after the other.
logs=$(mktemp -d)
trap 'rm -rf "${logs}"' EXIT
export OMP_NUM_THREADS=1
pids=()
for index in "${!pythons[@]}"; do
    KD_SHARE=$((index + 1))/${#pythons[@]} "${pythons[index]}" -m pytest -q "${selection[@]}" "$@" > "${logs}/${index}" 2>&1 &
    pids+=($!)
done
status=0
for index in "${!pythons[@]}"; do
    wait "${pids[index]}" || status=1
    echo "== $("${pythons[index]}" -m espnet_kd --version)"
    cat "${logs}/${index}"
done
exit "${status}"
