#!/usr/bin/env bash
# For scripts that run all stages of several students, one tag after another: sourced by them.
set -euo pipefail

# number_of NAME DEFAULT [--option value ...]: the last number that an option is given; what
# is none is left to be refused by the stages themselves
number_of() {
    local name=$1 default=$2 value=$2; shift 2
    while [ $# -gt 1 ]; do
        if [ "$1" = "--${name}" ]; then value=$2; fi
        shift
    done
    if [[ "${value}" =~ ^[0-9]+$ ]]; then echo "${value}"; else echo "${default}"; fi
}

# begins_by, goes_beyond STAGE [--option value ...]: whether the options begin at that stage
# or before it; whether they go on behind it
begins_by() { local last=$1; shift; [ "$(number_of stage 1 "$@")" -le "${last}" ]; }
goes_beyond() { local last=$1; shift; [ "$(number_of stop_stage 99 "$@")" -gt "${last}" ]; }
