#!/usr/bin/env bash
# For scripts that run all stages of several students, one tag after another: sourced by them.
set -euo pipefail

# begins_by STAGE [--option value ...]: whether the options begin at that stage or before it
begins_by() {
    local last=$1 first=1; shift
    while [ $# -gt 1 ]; do
        if [ "$1" = --stage ]; then first=$2; fi
        shift
    done
    [ "${first}" -le "${last}" ]
}
