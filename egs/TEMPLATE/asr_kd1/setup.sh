#!/usr/bin/env bash
# Make a recipe folder of your own, as ESPnet's setup.sh does.
#
#   egs/TEMPLATE/asr_kd1/setup.sh DIR
#
# DIR is new, such as egs/mycorpus/asr_kd1, or a folder anywhere. run.sh, cmd.sh and conf/ are
# copies for you to change; asr_kd.sh and path.sh are links into this checkout.
set -euo pipefail

if [ $# -ne 1 ] || [[ "$1" == -* ]]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
template=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
dir=$1
if [ -e "${dir}" ]; then
    echo "setup.sh: ${dir} is there already; name a new folder" >&2
    exit 2
fi

mkdir -p "${dir}/conf"
for name in asr_kd.sh path.sh; do
    ln -s "$(realpath --relative-to="${dir}" "${template}/${name}")" "${dir}/${name}"
done
cp "${template}/cmd.sh" "${dir}"
cp "${template}/setup/run.sh" "${dir}"
# AN4's from audio: sized for an hour of speech, and measured there.
conf=${template}/../../an4/asr_kd1/conf
for name in teacher student kd decode_beam; do
    cp "${conf}/${name}_audio.yaml" "${dir}/conf/${name}.yaml"
done
cp "${conf}/decode_ctc_greedy.yaml" "${dir}/conf"
echo "made ${dir}; say in ${dir}/run.sh where the data are, then run it"
