#!/usr/bin/env bash
# Where the recipe finds its programs. Sourced by asr_kd.sh.
set -euo pipefail

_template=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
# shellcheck source=conf/install.sh
. "${_template}/../../../conf/install.sh"

export python=${KD_PYTHON}
pyscripts=${_template}/pyscripts
export PATH="${_template}/utils:${PATH}"
export PYTHONPATH="${pyscripts}${PYTHONPATH:+:${PYTHONPATH}}"
export PYTHONIOENCODING=UTF-8
# One thread a job, as in every Kaldi recipe; training takes --train_threads.
export OMP_NUM_THREADS=1
