#!/bin/sh
# Linear regression on noisy data by stochastic gradient descent, in awk: sh train.sh --lr 0.1 --wd 0.001 --seed 1
lr=0.1 wd=0 seed=$$
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
  # one row: x[1..d] and its target, which three of the inputs make, and noise
  function draw(  i) { for (i = 1; i <= d; i++) x[i] = normal(); y = 2 * x[1] - x[2] + 0.5 * x[3] + normal() }
  function predict(  i, sum) { for (i = 1; i <= d; i++) sum += w[i] * x[i]; return sum }
  BEGIN {
    d = 20; rows = 60; epochs = 10; srand(seed)
    for (r = 1; r <= rows; r++) { draw(); target[r] = y; for (i = 1; i <= d; i++) input[r, i] = x[i] }
    for (epoch = 1; epoch <= epochs; epoch++) {
      loss = 0
      for (r = 1; r <= rows; r++) {
        for (i = 1; i <= d; i++) x[i] = input[r, i]
        error = predict() - target[r]; loss += error * error / rows
        for (i = 1; i <= d; i++) w[i] -= lr * (error * x[i] + wd * w[i])
      }
      srand(0); val = 0  # the validation rows are always the same
      for (r = 1; r <= 500; r++) { draw(); error = predict() - y; val += error * error / 500 }
      printf "epoch %d: train_loss=%.5g val_loss=%.5g\n", epoch, loss, val
    }
  }'
