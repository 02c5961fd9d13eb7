#!/bin/sh
# Linear regression on noisy data by stochastic gradient descent, in awk: sh train.sh --lr 0.001 --wd 0.001 --seed 1
lr=0.001 wd=0 seed=$$
while [ $# -gt 0 ]; do
  case "$1" in
    --lr) lr=$2; shift 2 ;;
    --wd) wd=$2; shift 2 ;;
    --seed) seed=$2; shift 2 ;;
    *) echo "unknown argument $1" >&2; exit 2 ;;
  esac
done

exec awk -v lr="$lr" -v wd="$wd" -v seed="$seed" '
  function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307 * rand()) }
  # row r: x[r, 1..d], and a target that three of the inputs make, and noise
  function draw(r,  i) {
    for (i = 1; i <= d; i++) x[r, i] = normal()
    y[r] = 2 * x[r, 1] - x[r, 2] + 0.5 * x[r, 3] + normal()
  }
  function error(r,  i, sum) { for (i = 1; i <= d; i++) sum += w[i] * x[r, i]; return sum - y[r] }
  BEGIN {
    d = 20; rows = 60; val_rows = 500
    srand(0); for (r = 1; r <= rows + val_rows; r++) draw(r)  # the data are always the same
    srand(seed)
    for (epoch = 1; epoch <= 10; epoch++) {
      train = val = 0
      for (step = 1; step <= rows; step++) {
        r = 1 + int(rows * rand()); e = error(r); train += e * e / rows
        if (e > 3) e = 3; if (e < -3) e = -3  # gradients are clipped
        for (i = 1; i <= d; i++) w[i] -= lr * (e * x[r, i] + wd * w[i])
      }
      for (r = rows + 1; r <= rows + val_rows; r++) { e = error(r); val += e * e / val_rows }
      printf "epoch %d: train_loss=%.5g val_loss=%.5g\n", epoch, train, val
    }
  }'
