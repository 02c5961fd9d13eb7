#!/usr/bin/env bash
# The whole check on a GPU, the most telling piece first; the same command goes on where the last call stopped.
#
#   benchmarks/gpu/run.sh [--minutes M] [--data cifar10.npz] [--jpeg] [--output FOLDER] [--smoke] [key=value …]
#
#   1. seeds       five seeds of the hand-tuned setting: mean, standard deviation, seconds a run, share at 94 % or more
#   2. throughput  images a second beside plain PyTorch's, and the floor
#   3. tests       those marked gpu
#   4. bench-94    runs until 94 % for each search; takes whatever time is left
#
#   --minutes M      begin nothing that would not end within M minutes of now, by what earlier pieces took; where the machine
#                    is taken away at a fixed time, leave a minute, for the first piece of a call loads torch before it can tell
#   --data PATH      CIFAR-10 as a .npz with x_train, y_train, x_test, y_test, or torchvision's folder. Left out, torchvision
#                    fetches it into ./data; on a machine without a network bring the file and give its path
#   --jpeg           these images are JPEG copies: every table says so, and the target of 4 is the mean of 1 less 0.1
#   --output FOLDER  results there (default: benchmarks/gpu)
#   --smoke          every line at a reduced size, on made-up images unless --data says otherwise; results in studies/gpu-smoke
#   key=value        as for flatdirs train and flatdirs tune, such as precision=fp32
#
# DEVICE=cuda (default), cuda:1, cpu …; PYTHON=… for another interpreter than .venv/bin/python or python3. 1 to 3 need torch,
# numpy, PyYAML and (3) pytest; 4 needs flatdirs' other requirements too. Bring back the results with studies/ beside them.
set -euo pipefail
started=$SECONDS
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
device=${DEVICE:-cuda}

die() { # one sentence
  echo "run.sh: $*" >&2
  exit 2
}

absolute() { # a path as seen from where the command was given
  case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac
}

minutes='' data='' jpeg=() output='' smoke='' overrides=()
while [ $# -gt 0 ]; do
  case $1 in
    --minutes | --data | --output)
      [ -n "${2:-}" ] || die "$1 needs a value; see --help"
      case $1 in --minutes) minutes=$2 ;; --data) data=$(absolute "$2") ;; --output) output=$(absolute "$2") ;; esac
      shift
      ;;
    --jpeg) jpeg=(--jpeg) ;;
    --smoke) smoke=yes ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *=*) overrides+=("$1") ;;
    *) die "there is no option $1; see --help" ;;
  esac
  shift
done
[[ $minutes =~ ^([0-9]*[.]?[0-9]*)$ && $minutes != . ]] || die "--minutes $minutes must be a number; change --minutes"
[ -z "$data" ] || [ -e "$data" ] || die "--data $data does not exist; change --data"

if [[ ${PYTHON:-} == */* ]]; then
  python=$(absolute "$PYTHON")
elif [ -z "${PYTHON:-}" ] && [ -x "$root/.venv/bin/python" ]; then
  python=$root/.venv/bin/python
else
  python=${PYTHON:-python3}
fi
cd "$root"
if [ -n "$smoke" ]; then
  case $(absolute "${output:-studies}")/ in "$root"/benchmarks/*) die "--smoke writes no results into benchmarks/; change --output" ;; esac
fi
probe='import sys, numpy, yaml
from flatdirs.training.device import device_name, resolve_device
print(device_name(resolve_device(sys.argv[1])).replace(",", " "))'
card=$("$python" -c "$probe" "$device" 2>&1 | tail -n 1) ||
  die "${card#*Error: }; set DEVICE to what is there, or PYTHON to an interpreter that has numpy, PyYAML and a torch that sees the GPU"

gpu=${output:-benchmarks/gpu} seeds=5 sizes=() budget=60 quick=()
if [ -n "$smoke" ]; then
  gpu=${output:-studies/gpu-smoke}
  seeds=2 budget=2 quick=(--quick)
  sizes=(task.epochs=2 task.width=4 task.batch_size=50 task.train_images=400 task.validation_images=100 task.test_images=200)
  [ "$device" != cpu ] || sizes+=(threads=1)
  if [ -z "$data" ]; then
    data=$(absolute "$gpu/images.npz")
    "$python" -m benchmarks.gpu.smoke_images "$data"
  fi
fi
mkdir -p "$gpu"
common=(--output "$gpu" --device "$device" "${jpeg[@]}" ${data:+--data "$data"} --seeds "$seeds" "${overrides[@]}" "${sizes[@]}")
pieces=$gpu/pieces.csv # what each piece came to and took: name, card, outcome, seconds
failed=()

left() { # whole seconds until the end, or nothing where there is no end
  [ -z "$minutes" ] || awk -v m="$minutes" -v s=$((SECONDS - started)) 'BEGIN { printf "%d", 60 * m - s }'
}

limit() { # --minutes for a piece that stops by itself, two seconds early
  [ -z "$minutes" ] || awk -v s="$(left)" 'BEGIN { printf "--minutes %.3f", (s > 2 ? s - 2 : 0) / 60 }'
}

seconds_of() { # name: what this piece took here before, else nothing
  [ ! -f "$pieces" ] || awk -F, -v n="$1" -v d="$card" '$1 == n && $2 == d { s = $4 } END { if (s) print s }' "$pieces"
}

is_done() { # name
  [ -f "$pieces" ] && [ "$(awk -F, -v n="$1" -v d="$card" '$1 == n && $2 == d { o = $3 } END { print o }' "$pieces")" = done ]
}

piece() { # name, command …: run it, note what it took; a failure is told at the end and stops nothing
  local name=$1 before=$SECONDS outcome=done code=0
  shift
  echo "== $name"
  "$@" || code=$?
  if [ "$code" != 0 ]; then
    outcome=failed
    failed+=("$name")
    echo "$name failed with exit code $code" >&2
  fi
  echo "$name,$card,$outcome,$((SECONDS - before))" >>"$pieces"
  [ "$code" != 130 ] || exit 130
}

once() { # name, seconds it may take the first time, command …: a piece that is not repeated and cannot stop half way
  local name=$1 expected
  expected=$(seconds_of "$name")
  expected=${expected:-$2}
  shift 2
  if is_done "$name"; then
    echo "== $name was done before"
  elif [ -n "$minutes" ] && [ $((expected * 6 / 5)) -gt "$(left)" ]; then
    echo "== $name would not end in time (about $expected s); the same command goes on from here"
  else
    piece "$name" ${minutes:+timeout "$(left)"} "$@"
  fi
}

gpu_tests() { # without the settings of pyproject.toml, which want plugins that a machine with a card may lack
  local files
  mapfile -t files < <(grep -lE 'mark\.gpu\b' tests/test_*.py)
  PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "$python" -m pytest -c /dev/null --rootdir "$root" -p no:cacheprovider -q -m gpu \
    -W ignore::pytest.PytestUnknownMarkWarning "${files[@]}"
}

bench_94() {
  local arguments=("${common[@]}" --budget "$budget" $(limit) ${smoke:+--auto-target})
  "$python" -c 'import hydra, optuna' 2>/dev/null || { echo "$python lacks hydra-core or optuna; set PYTHON" >&2 && return 1; }
  if command -v make >/dev/null; then
    make --no-print-directory -o .venv/.installed bench-94 RUN="$python" BENCH="$(printf '%q ' "${arguments[@]}" | sed 's/\$/$$/g')"
  else
    "$python" -m benchmarks.gpu --part searches "${arguments[@]}"
  fi
}

# 1. stops by itself; where it cannot even begin, nothing else can
# shellcheck disable=SC2046
piece seeds "$python" -m benchmarks.gpu $(limit) "${common[@]}"
[ ${#failed[@]} = 0 ] || die "no run of the hand-tuned setting ended; mend what stands above (without a network: --data cifar10.npz)"
# 2. on these images if they are one file, else on made-up ones
[[ $data == *.npz ]] && images=(--data "$data") || images=()
once throughput 240 "$python" -m benchmarks.throughput --device "$device" "${images[@]}" "${quick[@]}" --resume --output "$gpu/throughput"
# 3.
export -f gpu_tests
export python root
once tests 60 bash -c gpu_tests
# 4. stops by itself, but not before it has loaded torch and the images
if [ -n "$minutes" ] && [ "$(left)" -lt 30 ]; then
  echo "== bench-94 would not end in time; the same command goes on from here"
else
  piece bench-94 bench_94
fi
"$python" -m benchmarks.gpu --part page --output "$gpu" >/dev/null

echo "== results in $gpu, after $(((SECONDS - started + 30) / 60)) minutes"
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}" >&2; exit 1; }
