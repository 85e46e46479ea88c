#!/usr/bin/env bash
# How jobs are launched, in the Kaldi way. The default runs them on this machine.
#
# On a cluster, name Kaldi's own scripts (or yours with the same interface), e.g.
#   export train_cmd="slurm.pl" cuda_cmd="slurm.pl --gpu 1" decode_cmd="slurm.pl"
set -euo pipefail

export train_cmd=${train_cmd:-run.py}     # data, features, statistics
export cuda_cmd=${cuda_cmd:-run.py}       # training
export decode_cmd=${decode_cmd:-run.py}   # decoding
