#!/usr/bin/env bash
# Myrtle's search on cifar10_small, and two of its remarks. Resumable: the same command continues.
#   benchmarks/myrtle_table/run.sh PATH/TO/cifar10.npz [key=value …]
# The three searches were written down before the first of them was run.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=$1
shift
here=benchmarks/myrtle_table
search() { # name, overrides …
  local name=$1
  shift
  nice .venv/bin/python -m flatdirs tune task=cifar10_small "data.path=$data" "output=$here/studies" "study=$name" \
    live=false "$@" | tee "$here/$name.log"
}
# 1. Myrtle's careless start, as in its table
search source start=myrtle "$@" &
# 2. "fewer than 10 runs from a reasonable start"
search typical start=typical "$@" &
wait
# 3. "finer steps with repeats bring nothing": around the winner of 1, steps of the square root of two, three seeds a point
search finer "start=$here/studies/source/best.yaml" chart.step=1.4142135623730951 repeats=3 budget=14 "$@"
.venv/bin/python -m benchmarks.myrtle_table
