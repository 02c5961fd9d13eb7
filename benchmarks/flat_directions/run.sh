#!/usr/bin/env bash
# Myrtle's three slices on cifar10_small, around a good setting there. Resumable: the same command continues.
#   benchmarks/flat_directions/run.sh PATH/TO/cifar10.npz [key=value …]
# The centre is the best point of benchmarks/myrtle_table's search from a typical start (lr 0.2, momentum 0.9, wd 5e-4, batch size 32); the
# grids were written down before the first run. WORKERS processes (default: one per core) share each slice.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:?give the path of cifar10.npz}
shift
python=${PYTHON:-.venv/bin/python} here=benchmarks/flat_directions
slice() { # study and y, x_steps, y_steps, overrides …
  local y=$1 x_steps=$2 y_steps=$3
  shift 3
  nice "$python" -m flatdirs slices task=cifar10_small "data.path=$data" "output=$here/studies" "study=$y" start=typical \
    start.lr=0.2 x=lr "x_steps=$x_steps" "y=$y" "y_steps=$y_steps" "workers=${WORKERS:-$(nproc)}" "$@"
}
slice weight_decay "[-5,4]" "[-3,3]" "$@"
slice one_minus_momentum "[-5,4]" "[-3,3]" "$@"
slice batch_size "[-4,5]" "[-2,4]" "$@"
"$python" -m benchmarks.flat_directions
