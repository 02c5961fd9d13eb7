"""The metric of a command: which numbers of its output, or of a file it wrote, are found, and which must not be."""

# ruff: noqa: E501 - lines of logs are as long as they are
from __future__ import annotations

import csv
import itertools
import json
import math
import os
import random
import time
import tracemalloc
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.objectives.command.metric import MetricConfig, MetricReader, Reading
from flatdirs.objectives.command.metric_files import columns, read_metric_file
from flatdirs.objectives.command.metric_names import direction_of, is_test_metric, usual_validation_name
from tests.refused import refused


def read(text: str | bytes, name: str | None = None, **config: str) -> MetricReader:
    reader = MetricReader(MetricConfig(name=name, **config))
    reader.feed(text if isinstance(text, bytes) else text.encode())
    reader.close()
    return reader


def values(reader: MetricReader) -> list[float]:
    return [reading.value for reading in reader.readings]


MNIST = """Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300039
Train Epoch: 1 [640/60000 (1%)]\tLoss: 1.213470

Test set: Average loss: 0.0468, Accuracy: 9842/10000 (98%)

Train Epoch: 2 [0/60000 (0%)]\tLoss: 0.059100

Test set: Average loss: 0.0325, Accuracy: 9891/10000 (99%)
"""
IMAGENET = """Epoch: [0][  1/391]\tTime  0.412 ( 0.412)\tData  0.200 ( 0.200)\tLoss 6.9e+00 (7.0e+00)\tAcc@1   0.00 (  0.39)\tAcc@5   1.17 (  0.78)
Epoch: [0][ 11/391]\tTime  0.112 ( 0.141)\tData  0.000 ( 0.019)\tLoss 6.8e+00 (6.9e+00)\tAcc@1   1.56 (  0.50)\tAcc@5   3.17 (  1.78)
Test: [ 1/79]\tTime  0.312 ( 0.312)\tLoss 2.1e+00 (2.1e+00)\tAcc@1  71.20 ( 70.02)\tAcc@5  91.00 ( 90.00)
 *   Acc@1 71.200 Acc@5 90.123
"""
NANOGPT = """step 0: train loss 4.2874, val loss 4.2823
iter 0: loss 4.2654, time 9123.01ms, mfu -100.00%
iter 10: loss 3.2432, time 41.20ms, mfu 9.11%
step 250: train loss 2.4304, val loss 2.4427
saving checkpoint to out
"""
HUGGING_FACE = """{'loss': 0.5231, 'grad_norm': 1.25, 'learning_rate': 4.5e-05, 'epoch': 0.5}
{'eval_loss': 0.31, 'eval_accuracy': 0.88, 'eval_runtime': 2.01, 'eval_samples_per_second': 434.0, 'epoch': 1.0}
{'loss': 0.2510, 'grad_norm': 2.25, 'learning_rate': 2.5e-05, 'epoch': 1.5}
{'eval_loss': 0.29, 'eval_accuracy': 0.91, 'eval_runtime': 2.03, 'eval_samples_per_second': 431.0, 'epoch': 2.0}
{'train_runtime': 61.2, 'train_samples_per_second': 118.0, 'train_loss': 0.3871, 'epoch': 2.0}
"""
KERAS = """Epoch 1/2
\r\x1b[1m   1/1875\x1b[0m \x1b[37m━━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m4:07\x1b[0m 132ms/step - accuracy: 0.1562 - loss: 2.3321\b\b\b\b\b\r\x1b[1m1875/1875\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m5s\x1b[0m 2ms/step - accuracy: 0.8602 - loss: 0.4801 - val_accuracy: 0.9570 - val_loss: 0.1432
Epoch 2/2
\r1875/1875 ━━━━━━━━━━━━━━━━━━━━ 5s 2ms/step - accuracy: 0.9571 - loss: 0.1441 - val_accuracy: 0.9694 - val_loss: 0.1012
"""
OLD_KERAS = """391/391 [==============================] - 12s 30ms/step - loss: 1.5 - acc: 0.45 - val_loss: 1.2412 - val_acc: 0.5571
391/391 [==============================] - 11s 29ms/step - loss: 1.1 - acc: 0.61 - val_loss: 1.0312 - val_acc: 0.6384
"""
LIGHTNING = """\rEpoch 0: 100%|██████████| 391/391 [00:12<00:00, 31.2it/s, v_num=3, train_loss=1.230]\rEpoch 0: 100%|██████████| 391/391 [00:14<00:00, 27.1it/s, v_num=3, train_loss=1.230, val_loss=1.100, val_acc=0.612]
\rEpoch 1:  50%|█████     | 195/391 [00:06<00:06, 31.2it/s, v_num=3, train_loss=0.930, val_loss=1.100, val_acc=0.612]\rEpoch 1: 100%|██████████| 391/391 [00:14<00:00, 27.1it/s, v_num=3, train_loss=0.910, val_loss=0.901, val_acc=0.688]
Epoch 1, global step 782: 'val_acc' reached 0.68800 (best 0.68800), saving model to '/tmp/ckpt/epoch=1-val_acc=0.69.ckpt' as top 1
"""
LIGHTNING_TEST = """┏━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃        Test metric        ┃       DataLoader 0        ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│\x1b[36m \x1b[0m\x1b[36m        test_acc         \x1b[0m\x1b[36m \x1b[0m│\x1b[35m \x1b[0m\x1b[35m   0.9811000227928162    \x1b[0m\x1b[35m \x1b[0m│
│         test_loss         │   0.05912341922521591     │
└───────────────────────────┴───────────────────────────┘
"""
TRANSFER = """Epoch 0/1
----------
train Loss: 0.6119 Acc: 0.6967
val Loss: 0.2317 Acc: 0.9020

Epoch 1/1
----------
train Loss: 0.4902 Acc: 0.7910
val Loss: 0.2012 Acc: 0.9281

Training complete in 1m 7s
Best val Acc: 0.954248
"""
FAIRSEQ = """2021-03-01 12:00:01 | INFO | train | epoch 001 | loss 10.211 | nll_loss 9.5 | ppl 720.1 | wps 30211 | lr 0.0005
2021-03-01 12:00:09 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 9.1 | nll_loss 8.2 | ppl 550.3
2021-03-01 12:10:09 | INFO | valid | epoch 002 | valid on 'valid' subset | loss 7.4 | nll_loss 6.2 | ppl 73.5
"""
TIMM = """Train: 0 [   0/1251 (  0%)]  Loss: 6.95 (6.95)  Time: 1.231s, 207.9/s  LR: 1.000e-06  Data: 0.721 (0.721)
Test: [   0/78]  Time: 0.812 (0.812)  Loss:   1.0123 ( 1.0123)  Acc@1:  78.1250 ( 78.1250)  Acc@5:  93.7500 ( 93.7500)
Test: [  78/78]  Time: 0.103 (0.231)  Loss:   1.2310 ( 1.3021)  Acc@1:  64.0625 ( 70.1240)  Acc@5:  89.0625 ( 89.9980)
*** Best metric: 70.124 (epoch 0)
"""
STABLE_BASELINES = """-----------------------------------------
| rollout/                |             |
|    ep_len_mean          | 148         |
|    ep_rew_mean          | 148.5       |
| time/                   |             |
|    fps                  | 2034        |
|    total_timesteps      | 10240       |
| train/                  |             |
|    approx_kl            | 0.008512    |
|    loss                 | -0.0123     |
-----------------------------------------
"""
XGBOOST = """[0]\tvalidation_0-logloss:0.60412\tvalidation_0-auc:0.91021
[1]\tvalidation_0-logloss:0.53111\tvalidation_0-auc:0.92415
"""
LIGHTGBM = "[10]\tvalid_0's auc: 0.9312\tvalid_0's binary_logloss: 0.3121\n[20]\tvalid_0's auc: 0.9401\tvalid_0's binary_logloss: 0.2921\n"
DETECTRON = (
    "[01/01 10:00:00 d2.utils.events]:  eta: 0:10:12  iter: 19  total_loss: 5.912  loss_cls: 4.31  loss_box_reg: 0.021"
    "  time: 0.3012  data_time: 0.0101  lr: 0.00039962  max_mem: 3012M\n"
)
COCO = " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.374\n"
DETR = "Epoch: [3]  [ 50/118]  eta: 0:00:31  lr: 0.000100  class_error: 41.20 (45.10)  loss: 12.3211 (13.0190)\n"
SPACY = (
    "E    #       LOSS TOK2VEC  LOSS TAGGER  TAG_ACC  SCORE \n  0     200        51.12        310.21    81.23    0.81\n"
)
TORCHRUN = """[rank1]: step 10 val_loss 9.0
[rank0]: step 10 val_loss 3.21
[rank12]:step 20 val_loss 8.0
[rank0]: step 20 val_loss 3.02
[default1]:step 20 val_loss 7.0
"""
WANDB = """wandb: Run history:
wandb:   val_acc ▁▃▅▇█
wandb: Run summary:
wandb:   val_acc 0.9234
wandb:  val_loss 0.2511
"""

# an excerpt, the metric asked for, the values that are read
FOUND: list[tuple[str, str, list[float]]] = [
    ("val_acc: 92.1 %", "val_acc", [92.1]),
    ('{"epoch": 3, "val_acc": 0.921, "lr": 0.1}', "val_acc", [0.921]),
    ('{"val_acc": "0.921"}', "val_acc", [0.921]),
    ('{"step":10,"metrics":{"val":{"acc":0.5},"val_acc":0.75}}', "val_acc", [0.75]),
    ("train loss 2.43, val loss 2.44", "val loss", [2.44]),
    ("train loss 2.43, val loss 2.44", "val_loss", [2.44]),
    ("train loss 2.43, val loss 2.44", "train loss", [2.43]),
    (NANOGPT, "val loss", [4.2823, 2.4427]),
    (NANOGPT, "loss", [4.2654, 3.2432]),
    (" * Acc@1 71.2 Acc@5 90.1", "Acc@1", [71.2]),
    (" * Acc@1 71.2 Acc@5 90.1", "Acc@5", [90.1]),
    (IMAGENET, "Acc@1", [0.50, 70.02, 71.2]),  # one an epoch: its last average
    (IMAGENET, "acc@5", [1.78, 90.0, 90.123]),
    (IMAGENET, "Loss", [6.9, 2.1]),
    ("Accuracy: 9914/10000 (99%)", "Accuracy", [0.9914]),
    ("Accuracy: 9914 / 10000 (99%)", "accuracy", [0.9914]),
    (MNIST, "Accuracy", [0.9842, 0.9891]),
    (MNIST, "Average loss", [0.0468, 0.0325]),
    (MNIST, "loss", [0.0468, 0.0325]),  # exactly; the training's is Loss
    (MNIST, "Loss", [1.213470, 0.0591]),
    (MNIST, "test_accuracy", [0.9842, 0.9891]),
    ("acc 0.81 (0.79)", "acc", [0.79]),
    ("acc 81.2% (79.4%)", "acc", [79.4]),
    ("acc 0.81 (81%)", "acc", [0.81]),
    ("loss 0.5 (avg: 0.45)", "loss", [0.45]),
    ("val_acc 0.81 (3)", "val_acc", [0.81]),
    ("Accuracy: 0.931 (0.012)", "Accuracy", [0.931]),  # a mean and a standard deviation
    ("epoch 3 loss 0.9 (0.1)", "loss", [0.1]),
    ("loss 0.9 (0.1) acc 0.5 (0.6)", "loss", [0.1]),
    ("CV score: 0.931 (+/- 0.012)", "CV score", [0.931]),
    ("val_acc=[0.91]", "val_acc", [0.91]),
    ("│ val_acc │ .91 │", "val_acc", [0.91]),
    ("| val_acc | 0.91 |\n|---|---|", "val_acc", [0.91]),
    (LIGHTNING_TEST, "test_acc", [0.9811000227928162]),
    (LIGHTNING_TEST, "test loss", [0.05912341922521591]),
    (LIGHTNING, "val_acc", [0.612, 0.688]),
    (LIGHTNING, "train_loss", [1.230, 0.910]),
    (KERAS, "val_accuracy", [0.9570, 0.9694]),
    (KERAS, "accuracy", [0.1562, 0.8602, 0.9571]),
    (OLD_KERAS, "val_acc", [0.5571, 0.6384]),
    (OLD_KERAS, "acc", [0.45, 0.61]),
    (HUGGING_FACE, "eval_accuracy", [0.88, 0.91]),
    (HUGGING_FACE, "eval/accuracy", [0.88, 0.91]),
    (HUGGING_FACE, "loss", [0.5231, 0.2510]),
    (HUGGING_FACE, "train_loss", [0.3871]),
    (TRANSFER, "val Acc", [0.9020, 0.9281]),
    (TRANSFER, "val_loss", [0.2317, 0.2012]),
    (TRANSFER, "Best val Acc", [0.954248]),
    (FAIRSEQ, "valid_loss", [9.1, 7.4]),
    (FAIRSEQ, "valid ppl", [550.3, 73.5]),
    (FAIRSEQ, "ppl", [550.3, 73.5]),  # the last of each epoch
    (TIMM, "Acc@1", [78.125, 70.124]),
    (TIMM, "Best metric", [70.124]),
    (STABLE_BASELINES, "ep_rew_mean", [148.5]),
    (STABLE_BASELINES, "loss", [-0.0123]),
    (XGBOOST, "validation_0-auc", [0.91021, 0.92415]),
    (LIGHTGBM, "valid_0's auc", [0.9312, 0.9401]),
    (DETECTRON, "total_loss", [5.912]),
    (DETR, "class_error", [45.10]),
    (TORCHRUN, "val_loss", [3.21, 3.02]),
    (WANDB, "val_acc", [0.9234]),
    ("level=info ts=2024-01-01T00:00:00Z step=3 val_acc=0.92 dur=3s", "val_acc", [0.92]),
    ("[2024-01-01 10:00:00,123][main][INFO] - val/acc=0.93", "val/acc", [0.93]),
    ("2024-01-01 10:00:00 INFO accuracy 0.93", "accuracy", [0.93]),
    ("INFO:root:accuracy 0.93", "accuracy", [0.93]),
    ("loss: tensor(0.3312, device='cuda:0', grad_fn=<NllLossBackward0>)", "loss", [0.3312]),
    ("{'auc': np.float64(0.8121)}", "auc", [0.8121]),
    ("val_loss = 1.25e-03", "val_loss", [0.00125]),
    ("reward -12.5", "reward", [-12.5]),
    ("mAP@50-95: 0.412 mAP@50: 0.61", "mAP@50-95", [0.412]),
    ("mAP@50-95: 0.412 mAP@50: 0.61", "mAP@50", [0.61]),
    ("FID↓: 12.31", "FID", [12.31]),
    ("Accuracy (%): 91.25", "accuracy", [91.25]),
    ("val_acc ........ 0.91", "val_acc", [0.91]),
    ("val_acc -> 0.91", "val_acc", [0.91]),
    ("The final accuracy: 0.93.", "accuracy", [0.93]),
    ("top 1 acc 71.2", "top 1 acc", [71.2]),
    ("F1 score: 0.83", "f1_score", [0.83]),
    ("验证准确率：0.92", "验证准确率", [0.92]),
    ("Genauigkeit (geprüft) = 0,5\nGenauigkeit = 0.875", "Genauigkeit", [0.875]),
    ("box loss 0.3\nbox loss 0.2", "loss", [0.3, 0.2]),
    ("box loss 0.3, loss 0.9", "loss", [0.9]),
    ("val_acc 0.1\r\nval_acc 0.1\r\n", "val_acc", [0.1, 0.1]),
    ("\r30%|███   | 3/10 [00:03, val_acc=0.5]\r40%|████  | 4/10 [00:04, val_acc=0.6]\n", "val_acc", [0.5, 0.6]),
    ("Val_Acc 0.2\nval_acc 0.9\nVal_Acc 0.3", "val_acc", [0.9]),
    ("\x1b]0;title\x07\x1b[1;32mval_acc\x1b[0m: \x1b[1m0.93\x1b[0m", "val_acc", [0.93]),
    ("val_acc: 0.9\x1b[K\rval_acc: 0.8", "val_acc", [0.9, 0.8]),
    ("val_loss: -inf", "val_loss", [-math.inf]),
    ("Train: loss 0.3 acc 0.5 | Val: loss 0.4 acc 0.6", "val loss", [0.4]),
    ("Train: loss 0.3 acc 0.5 | Val: loss 0.4 acc 0.6", "train_acc", [0.5]),
    ("Validation: Average loss: 0.31, Accuracy: 912/1000 (91%)", "val accuracy", [0.912]),
    ("- **val_acc**: 0.91", "val_acc", [0.91]),
    ("| Val Acc | 91.2% |", "val_acc", [91.2]),
    ("val_loss:0.1|val_acc:0.9;", "val_acc", [0.9]),
    ("Accuracy on test set: 0.93", "accuracy on test set", [0.93]),
    ("final result val_bpb=1.0712", "val_bpb", [1.0712]),
    ("step:125/1750 val_loss:3.2785 train_time:1101ms step_avg:8.81ms", "val_loss", [3.2785]),
    ("R2: +0.81 RMSE: 2e3", "rmse", [2000.0]),
    ("step 1 train_loss 0.5 val_loss 0.4\nstep 2 train_loss 3e-05 val_loss 0.3", "val_loss", [0.4, 0.3]),
    ("epoch 1 val_loss 0.4\nepoch 2 3s val_loss 0.3", "val_loss", [0.4, 0.3]),
    ("loss 0.3 acc 0.9 | val: loss 0.4 acc 0.8", "val acc", [0.8]),
    ("[9]\ttraining's auc: 0.9\tvalid_1's auc: 0.8", "valid_1's auc", [0.8]),
    ("reward 5 120", "reward", [5]),
    ("epoch 1: val_loss 0.31 (-0.02)\nepoch 2: val_loss 0.3 (+0.4)", "val_loss", [0.31, 0.3]),
    ("[ 3/10] loss 0.5 (0.4) reward 0.2 (-0.3)", "reward", [-0.3]),
    ("|val_acc|91.2%|12|", "val_acc", [91.2]),
]
NAN_FOUND = [
    ("val_loss: nan", "val_loss"),
    ("loss nan (nan)", "loss"),
    ("loss=-nan", "loss"),
    ('{"loss": NaN}', "loss"),
]
# an excerpt, and a metric that is not in it
NOT_FOUND: list[tuple[str, str]] = [
    ("best_val_acc: 0.95", "val_acc"),
    ("best val_acc: 0.95", "val_acc"),
    ("Best val Acc: 0.954", "val Acc"),
    ("val_acc_top5: 0.95", "val_acc"),
    ("val_loss 2.44", "loss"),
    ("train loss 2.43, val loss 2.44", "loss"),
    ("eval/accuracy: 0.9", "accuracy"),
    ("test.loss: 0.9", "loss"),
    ("Acc@10 71.2", "Acc@1"),
    ("Acc@1 71.2", "Acc"),
    ("loss (val): 2.4", "loss"),
    ("epoch=1-val_acc=0.69.ckpt", "val_acc"),
    ("val_acc: 0.69.ckpt", "val_acc"),
    ("val_acc: none", "val_acc"),
    ("val_acc: nano", "val_acc"),
    ("val_acc: 12:31:05", "val_acc"),
    ("val_acc: 2024-01-01", "val_acc"),
    ("val_acc: 3.2it/s", "val_acc"),
    ("val_acc: 12/10", "val_acc"),
    ("val_acc: 0,92", "val_acc"),
    ("val_acc: 1.2.3", "val_acc"),
    ("val_acc: [0.91, 0.92]", "val_acc"),
    ("python train.py --val_acc 0.9", "val_acc"),
    ("val_acc improved, lr 0.1", "val_acc"),
    ("[rank1]: val_acc 0.9", "val_acc"),
    ("[Rank 1] val_acc 0.9", "val_acc"),
    ("val_acc:\n0.9", "val_acc"),
    ("train: loss 0.3 acc 0.9", "val acc"),
    ("val loss 0.3, best acc 0.9", "val acc"),
    ("D loss 0.3, G loss 0.9", "loss"),
    ('{"train": {"loss": 0.3}, "val": {"loss": 0.4}}', "loss"),
    ("loss 0.3 acc 0.9 | val: loss 0.4 acc 0.8", "acc"),
    ("[9]\ttraining's auc: 0.9\tvalid_1's auc: 0.8", "auc"),
    ("Class  Images  mAP50  mAP50-95): 100%|██████████| 1/1 [00:00<00:00]", "mAP50-95"),
    ("val_loss:  50%|#####     | 1.5k/3k [00:00<00:00]", "val_loss"),
    ("reward: 1'234.5", "reward"),
    ("reward: 1\u202f234,5", "reward"),
    ("acc[3]: 0.9, acc 10: 0.9", "acc"),
    ("Accuracy on val set (10000 images): 91.23 %", "Accuracy on val set"),
    ("val_loss: 0.9 -> 0.8", "val_loss"),
    ("val_loss 1.#IND", "val_loss"),
    ("Acc: 0.3\nACC: 0.9", "acc"),
    ("val/acc: 0.3\nval-acc: 0.9", "val_acc"),
    (WANDB, "acc"),
    (SPACY, "SCORE"),
    (COCO, "AP"),
    (LIGHTNING, "acc"),
]


@pytest.mark.parametrize(("text", "name", "expected"), FOUND)
def test_numbers_of_the_name_are_read(text: str, name: str, expected: list[float]) -> None:
    reader = read(text, name)
    assert values(reader) == expected
    assert reader.value() == expected[-1]
    assert reader.ambiguous == ()


@pytest.mark.parametrize(("text", "name"), NAN_FOUND)
def test_nan_is_a_value(text: str, name: str) -> None:
    reader = read(text, name)
    assert math.isnan(values(reader)[0])
    assert reader.nans_in_a_row == 1


@pytest.mark.parametrize(("text", "name"), NOT_FOUND)
def test_other_numbers_are_not(text: str, name: str) -> None:
    reader = read(text, name)
    assert values(reader) == []
    assert reader.value() is None


def test_enough_excerpts() -> None:
    assert len({text for text, *_ in [*FOUND, *NOT_FOUND]}) >= 60


@pytest.mark.parametrize("text", sorted({text for text, *_ in [*FOUND, *NOT_FOUND]}))
def test_every_name_seen_can_be_asked_for(text: str) -> None:
    for name, seen in read(text).seen.items():
        found = read(text, name)
        assert found.ambiguous or found.value() == seen.last or math.isnan(seen.last), name


def test_ambiguous_names_are_told() -> None:
    assert read("D loss 0.3, G loss 0.9", "loss").ambiguous == ("D loss", "G loss")
    assert read("Acc: 0.3\nACC: 0.9", "acc").ambiguous == ("ACC", "Acc")
    assert read("train: loss 0.3 | val: loss 0.4", "loss").ambiguous == ("train loss", "val loss")


def test_numbers_seen() -> None:
    seen = read(TRANSFER).seen
    assert {name: (number.count, number.last) for name, number in seen.items()} == {
        "train Loss": (2, 0.4902),
        "Acc": (4, 0.9281),
        "val Loss": (2, 0.2012),
        "Best val Acc": (1, 0.954248),
    }
    assert read("val_acc 0.9\nval_acc 0.91").seen["val_acc"].digits == 2
    assert read("val_acc 91.25%").seen["val_acc"].digits == 4
    assert read("val_acc 91.25%").seen["val_acc"].percent
    assert read("loss 0.00120").seen["loss"].digits == 3
    assert read("noise 1\n" * 3000 + "val_acc 0.912\n", "val_acc").seen["val_acc"].digits == 3


def test_numbers_at_the_end_are_seen_where_the_metric_was_not() -> None:
    text = "loss 0.5\n" * 5000 + "test accuracy 0.9\n"
    reader = read(text, "val_acc")
    assert reader.value() is None
    assert reader.seen["test accuracy"].last == 0.9


def test_which_part_of_the_data() -> None:
    assert read(MNIST, "Accuracy").of_test_set
    assert not read(TRANSFER, "val Acc").of_test_set


def steps(text: str, name: str) -> list[tuple[float, int | None]]:
    return [(reading.value, reading.step) for reading in read(text, name).readings]


def test_steps() -> None:
    assert steps(NANOGPT, "val loss") == [(4.2823, 0), (2.4427, 250)]
    assert steps(HUGGING_FACE, "loss") == [(0.5231, None), (0.2510, None)]  # half an epoch is no step
    assert steps(HUGGING_FACE, "eval_loss") == [(0.31, 1), (0.29, 2)]
    assert steps(LIGHTNING, "val_loss") == [(1.1, 0), (0.901, 1)]
    assert steps("Epoch [2/10], Step [100/600], Loss: 0.5", "Loss") == [(0.5, 2)]
    assert steps("epoch 0 | step 500 | val_loss 2.1\nepoch 0 | step 1000 | val_loss 2.0", "val_loss") == [
        (2.1, 500),
        (2.0, 1000),
    ]
    assert steps("Namespace(acc=0, epochs=10)\nepoch=1 acc=0.5", "acc") == [(0.0, None), (0.5, 1)]
    assert steps("trainer/global_step=7 val_acc=0.5", "val_acc") == [(0.5, 7)]
    assert steps("step 5 acc 0.1\nstep 5 acc 0.2\nstep 6 acc 0.3", "acc") == [(0.2, 5), (0.3, 6)]
    assert steps("step 9 acc 0.1\nstep 1 acc 0.2", "acc") == [(0.1, 9), (0.2, None)]  # a step that falls is none


def test_last_and_best() -> None:
    text = "val_acc 0.5\nval_acc 0.9\nval_acc nan\nval_acc 0.7\n"
    assert read(text, "val_acc").value() == 0.7
    assert read(text, "val_acc", take="best").value() == 0.9
    assert read(text, "val_acc", take="best", direction="minimize").value() == 0.5
    assert read(text.replace("acc", "loss"), "val_loss", take="best").value() == 0.5
    assert math.isnan(read("val_acc nan", "val_acc", take="best").value() or 0.0)
    # of one step the last counts, not the best
    assert read("epoch 1 acc 0.9\nepoch 1 acc 0.2\nepoch 2 acc 0.3", "acc", take="best").value() == 0.3


def test_nans_in_a_row() -> None:
    lines = ["val_loss 0.5", "val_loss nan", "train_loss nan", "val_loss nan", "val_loss 0.4"]
    reader = MetricReader(MetricConfig(name="val_loss"))
    counts = []
    for line in lines:
        reader.feed(f"{line}\n".encode())
        counts.append(reader.nans_in_a_row)
    assert counts == [0, 1, 1, 2, 0]
    # the same epoch's bar drawn again is one value
    assert read("\r1%| 1/9 [1s, loss=nan]\r1%| 1/9 [2s, loss=nan]\n", "loss").nans_in_a_row == 1
    assert read("\rloss=nan (1s)\rloss=nan (2s)\n", "loss").nans_in_a_row == 1


def test_readings_are_told_as_they_come() -> None:
    told: list[Reading] = []
    reader = MetricReader(MetricConfig(name="acc"), on_reading=told.append)
    reader.feed(b"step 1 acc 0.5\nstep 2 ac")
    assert told == [Reading(0.5, 1)]
    reader.feed(b"c 0.6")
    assert told == [Reading(0.5, 1)]
    reader.close()
    assert told == [Reading(0.5, 1), Reading(0.6, 2)]


def test_bare_number_in_the_last_line() -> None:
    assert read("loading 3 files\n0.5\n0.9132\n\n", "last").value() == 0.9132
    assert read("0.9132", "last").value() == 0.9132
    assert read("91.3%\r\n", "last").value() == 91.3
    assert read("0.9132\ndone\n", "last").value() is None
    assert read("acc 0.9132\n", "last").value() is None
    assert read("0.9\n[rank1]: 3\n", "last").value() == 0.9
    assert math.isnan(read("nan\n", "last").value() or 0.0)
    assert read("", "last").value() is None


def test_regex() -> None:
    accuracy = r"of the network .*: ([\d.]+) ?%"
    assert values(read("Accuracy of the network on the 10000 test images: 55 %\n", regex=accuracy)) == [55]
    text = "it=5 q=0.25\nit=6 q=0.5\nit=7 q=-\n"
    reader = read(text, regex=r"it=(?P<step>\d+) q=(?P<value>\S+)", direction="maximize")
    assert reader.readings == [Reading(0.25, 5), Reading(0.5, 6)]
    assert values(read(COCO, regex=r"IoU=0.50:0.95 .* all .*\] = (.*)")) == [0.374]
    assert values(read("a 1\n", regex="a( 2)?")) == []
    assert values(read("(" * 60_000 + "acc 0.5\n", regex="[(]*acc (.*)")) == [0.5]


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"regex": "("}, "regex"),
        ({"regex": "acc"}, "regex"),
        ({"regex": "(a)(b)"}, "regex"),
        ({"regex": "((a+)+)b"}, "regex"),
        ({"regex": "(?P<value>(a+)+)b"}, "regex"),
        ({"regex": "(a)", "file": "a.csv"}, "file"),
        ({"name": "last", "regex": "(a)"}, "regex"),
        ({"name": "last", "file": "a.csv"}, "file"),
        ({"name": "acc", "column": "a"}, "column"),
        ({"name": "acc", "take": "first"}, "take"),
        ({"name": "acc", "direction": "up"}, "direction"),
        ({"name": "quality", "take": "best"}, "direction"),
        ({"name": " "}, "name"),
        ({"file": ""}, "file"),
        ({"file": "a.csv"}, "file"),
    ],
)
def test_settings_that_cannot_be_right(config: dict[str, str], key: str) -> None:
    with refused(ConfigError, f"task.metric.{key}"):
        MetricConfig(**config).check()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"name": "val_acc", "take": "best"},
        {"regex": "acc (.*)"},
        {"regex": r"(?P<step>\d+) (?P<value>.*)"},
        {"name": "acc", "file": "*.csv"},
        {"file": "*.csv", "column": "acc", "take": "best"},
        {"name": "last", "direction": "minimize", "take": "best"},
    ],
)
def test_settings_that_can(config: dict[str, str]) -> None:
    MetricConfig(**config).check()


@given(st.sampled_from(FOUND), st.randoms(use_true_random=False), st.sampled_from(["\n", "\r", "\r\n"]))
@settings(max_examples=80, deadline=None)
def test_pieces_do_not_matter(case: tuple[str, str, list[float]], chance: random.Random, end: str) -> None:
    text, name, _ = case
    data = (f"\x1b[2K{text}{end}" * 3).encode() + b"\xff\xfe" + text.encode()
    whole, pieces = read(data, name), MetricReader(MetricConfig(name=name))
    begin = 0
    while begin < len(data):
        size = chance.choice([1, 1, 2, 3, 7, 50, 1000])
        pieces.feed(data[begin : begin + size])
        begin += size
    pieces.close()
    assert (pieces.readings, pieces.seen) == (whole.readings, whole.seen)


@given(st.binary(max_size=2000), st.integers(1, 100))
@settings(deadline=None)
def test_garbage_is_read_without_an_error(data: bytes, size: int) -> None:
    readers = [
        MetricReader(config)
        for config in (MetricConfig(), MetricConfig("a"), MetricConfig("last"), MetricConfig(regex="(.)"))
    ]
    for reader in readers:
        for begin in range(0, len(data), size):
            reader.feed(data[begin : begin + size])
        reader.close()
        assert len(reader.readings) <= 1001
        reader.value()


@given(st.text(alphabet=" \t\r\n\x1b[mlossvacc_/@:=.,-+()[]|'\"0123456789%einf\u2502", max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_text_of_the_grammar_s_own_letters(text: str) -> None:
    for name in (None, "loss", "val loss", "val_acc", "acc@1", "last"):
        reader = read(text, name)
        assert all(isinstance(value, float) for value in values(reader))


@pytest.mark.parametrize("piece", [1 << 12, 1 << 16, 1 << 23])
def test_a_line_of_many_megabytes(piece: int) -> None:
    data = (
        b"val_acc: 0.25 " + b"x" * (1 << 23) + b" val_acc: 0.5 " + b"7 " * (1 << 22) + b"val_acc: 0.75\nval_acc: 1.0\n"
    )
    reader = MetricReader(MetricConfig("val_acc"))
    tracemalloc.start()
    for begin in range(0, len(data), piece):
        reader.feed(data[begin : begin + piece])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    reader.close()
    assert values(reader) == [0.75, 1.0]  # what is in the middle is not kept
    assert held < 1 << 20


@pytest.mark.parametrize("size", [65534, 65535, 65536, 65537, 65538, 65539, 70000])
@pytest.mark.parametrize("ends", [b"\n", b"\r", b"\r\n"])
def test_long_lines_are_cut_alike_however_they_come(size: int, ends: bytes) -> None:
    line = b"val_acc: 0.5 ".ljust(size - 14, b"y") + b", val_acc: 0.7"
    data = b"first\n" + line + ends + b"val_acc: 0.9" + ends
    found = []
    for piece in (len(data), 1000, 65536):
        reader = MetricReader(MetricConfig("val_acc"))
        for begin in range(0, len(data), piece):
            reader.feed(data[begin : begin + piece])
        reader.close()
        found.append(values(reader))
    assert found == [[0.7, 0.9]] * 3


def test_no_name_and_no_number_reaches_across_a_cut() -> None:
    head = b"z" * (32768 - 9) + b" acc: 0.1"
    reader = read(head + b"2" * 100 + b"3".rjust(32768, b"4") + b"\n", "acc")
    assert values(reader) == []


@pytest.mark.parametrize(
    "line",
    [
        b"acc " * 16384,
        b"acc" + b" " * 65000,
        b"a " * 32768,
        b"acc=" * 16384,
        b"acc" + b"(" * 65000,
        b"acc " + b"1" * 65000,
        b"a.b" * 21845,
        b"acc 1/" * 10000,
        b"acc 1 ( " * 8000,
        b"\x1b[" * 32768,
        b"\x1b]" + b"1;" * 32760,
        b"- " * 32768,
        b"val acc " * 8192,
    ],
)
@pytest.mark.timeout(20)
def test_lines_that_a_careless_pattern_would_take_for_ever_on(line: bytes) -> None:
    for name in (None, "acc", "val acc"):
        read(line + b"\n", name)


@pytest.mark.slow
def test_a_progress_bar_of_a_million_carriage_returns() -> None:
    for name in (None, "loss"):
        reader = MetricReader(MetricConfig(name))
        for begin in range(0, 1_000_000, 1000):
            reader.feed(b"".join(b"\r%d%%|##| loss=0.%d" % (n // 10_000, n) for n in range(begin, begin + 1000)))
        reader.feed(b"\n" + b"\r" * 1_000_000 + b"0.5\n")
        reader.close()
        assert len(reader.readings) <= 1000
        if name == "loss":
            assert reader.value() == 0.999999
            assert len(reader.readings) > 400


def test_each_bar_s_last_drawing_counts_however_many_there_are() -> None:
    bar = b"".join(b"\rloss=0.5%06d" % n for n in range(11_000))
    reader = MetricReader(MetricConfig("loss", take="best"))
    reader.feed(3 * bar + b"\rloss=0.25\n" + bar + b"\rloss=0.125\rloss=0.375\n" + bar)
    assert reader.value() == 0.125
    reader.feed(b"\rloss=0.0625\r")
    reader.close()
    assert reader.value() == 0.0625
    assert reader.metric_seen is not None
    assert reader.metric_seen.count < 30_000


def test_kept_readings_are_spread_evenly_and_end_with_the_last() -> None:
    reader = read("".join(f"step {n} acc 0.{n:06}\n" for n in range(12_345)), "acc")
    kept = [reading.step or 0 for reading in reader.readings]
    assert len(kept) <= 1000
    assert kept[0] == 0
    assert kept[-1] == 12_344
    gaps = {later - earlier for earlier, later in itertools.pairwise(kept[:-1])}
    assert len(gaps) == 1


# files


def wrote(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def from_file(folder: Path, file: str, column: str, newer_than: float = 0.0) -> list[tuple[float, int | None]]:
    readings = read_metric_file(MetricConfig(file=file, column=column), [folder], newer_than)
    return [(reading.value, reading.step) for reading in readings]


FILES: list[tuple[str, str, str, list[tuple[float, int | None]]]] = [
    ("a.csv", "epoch,val_acc\n0,0.5\n1,0.6\n", "val_acc", [(0.5, 0), (0.6, 1)]),
    ("a.csv", "epoch,val_acc\n0,0.5\n1,0.", "val_acc", [(0.5, 0)]),
    ("a.csv", "epoch,val_acc\n", "val_acc", []),
    ("a.csv", "", "val_acc", []),
    ("a.csv", "epoch, val acc\n0, 50%\n", "val_acc", [(50.0, 0)]),
    ("a.csv", "epoch;val_acc\n0;0.5\n", "val_acc", [(0.5, 0)]),
    ("a.tsv", "epoch\tval_acc\n0\t0.5\n", "val_acc", [(0.5, 0)]),
    ("a.csv", "epoch,step,train_loss,val_loss\n0,9,0.3,\n0,19,,0.4\n", "val_loss", [(0.4, 19)]),
    ("a.csv", "acc,best_acc\n0.5,0.6\n", "best_acc", [(0.6, None)]),
    ("a.csv", "best_acc\n0.6\n", "acc", []),
    ("a.csv", "Acc,ACC\n0.5,0.6\n", "acc", []),
    ("a.csv", "acc\nnan\n", "accuracy", []),
    ("a.json", '{"val_acc": 0.5, "epoch": 3}', "val_acc", [(0.5, 3)]),
    ("a.json", '{"eval": {"acc": 0.5}}', "eval.acc", [(0.5, None)]),
    ("a.json", '[{"epoch": 1, "acc": 0.5}, {"epoch": 2, "acc": 0.6}, 3]', "acc", [(0.5, 1), (0.6, 2)]),
    ("a.json", '{"loss": [0.5, 0.4], "val_loss": [0.6, 0.3]}', "val_loss", [(0.6, None), (0.3, None)]),
    ("a.json", '{"val_acc": 0.5, "epo', "val_acc", []),
    ("a.json", '{"val_acc": true}', "val_acc", []),
    ("a.jsonl", '{"step": 1, "acc": 0.5}\n{"step": 2, "acc": 0.6}\n', "acc", [(0.5, 1), (0.6, 2)]),
    ("a.jsonl", '{"step": 1, "acc": 0.5}\n{"step": 2, "acc": 0.', "acc", [(0.5, 1)]),
    (
        "log.json",
        '{"mode": "train", "acc": 0.5}\n{"mode": "val", "coco/bbox_mAP": 0.31}\n',
        "coco/bbox_mAP",
        [(0.31, None)],
    ),
    (
        "trainer_state.json",
        json.dumps(
            {
                "best_metric": 0.3,
                "log_history": [
                    {"epoch": 0.5, "loss": 0.5, "step": 50},
                    {"epoch": 1.0, "eval_loss": 0.4, "step": 100},
                    {"epoch": 2.0, "eval_loss": 0.3, "step": 200},
                ],
            }
        ),
        "eval_loss",
        [(0.4, 100), (0.3, 200)],
    ),
    ("a.json", "\x00\x01garbage", "acc", []),
    ("a.csv", "\x00\x01garbage\n\x00,\n", "acc", []),
    ("a.json", "[" * 100_000, "acc", []),
]


@pytest.mark.parametrize(("name", "text", "column", "expected"), FILES)
def test_files(tmp_path: Path, name: str, text: str, column: str, expected: list[tuple[float, int | None]]) -> None:
    wrote(tmp_path / name, text)
    assert from_file(tmp_path, name, column) == expected


def test_nan_in_a_file(tmp_path: Path) -> None:
    wrote(tmp_path / "a.json", '{"acc": NaN}')
    assert math.isnan(from_file(tmp_path, "a.json", "acc")[0][0])


def test_the_name_is_the_column_and_the_file_gives_the_value(tmp_path: Path) -> None:
    wrote(tmp_path / "a.csv", "val_acc\n0.5\n0.9\n0.7\n")
    for take, expected in (("last", 0.7), ("best", 0.9)):
        reader = MetricReader(MetricConfig(name="val_acc", file="*.csv", take=take))
        reader.feed(b"val_acc: 0.1\n")
        reader.close()
        assert reader.value([tmp_path]) == expected
        assert reader.value([tmp_path / "nowhere"]) is None


def test_newest_file_of_the_run(tmp_path: Path) -> None:
    now = time.time()
    ages = {"old": -100, "new": 10, "newest": 20}
    for name, age in ages.items():
        path = wrote(tmp_path / "run" / name / "metrics.csv", f"acc\n{age}\n")
        os.utime(path, (now + age, now + age))
    wrote(tmp_path / "run" / "folder.csv" / "x", "")
    config = MetricConfig(file="**/*.csv", column="acc")
    folders: Sequence[Path] = [tmp_path / "empty", tmp_path / "run", tmp_path]
    assert [reading.value for reading in read_metric_file(config, folders, now)] == [20]
    assert read_metric_file(config, folders, now + 30) == []
    path = wrote(tmp_path / "empty" / "metrics.csv", "acc\n1\n")  # older, but in the first folder
    os.utime(path, (now, now))
    assert [reading.value for reading in read_metric_file(config, folders, now)] == [1]
    assert [reading.value for reading in read_metric_file(config, folders, now + 15)] == [20]
    whole = MetricConfig(file=str(tmp_path / "run" / "new" / "*.csv"), column="acc")
    assert [reading.value for reading in read_metric_file(whole, folders, now)] == [10]


def test_columns_of_a_file(tmp_path: Path) -> None:
    with wrote(tmp_path / "a.csv", "").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["epoch", "name", "acc"], [1, "x", 0.5]])
    config = MetricConfig(file="a.csv")
    assert columns(config, [tmp_path], 0.0) == ["epoch", "acc"]
    assert columns(config, [tmp_path / "nowhere"], 0.0) == []


@pytest.mark.skipif(find_spec("tensorboard") is not None, reason="TensorBoard's reader is installed")
def test_events_without_their_reader(tmp_path: Path) -> None:
    wrote(tmp_path / "events.out.tfevents.1.host.1.0", "")
    with refused(ConfigError, "task.metric.file", "pip install tensorboard"):
        from_file(tmp_path, "events*", "acc")


def test_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        for step, value in enumerate([0.5, 0.25]):
            writer.add_scalar("val/acc", value, step)
            writer.add_scalar("loss", 1.0, step)
    assert from_file(tmp_path, "events*", "val_acc") == [(0.5, 0), (0.25, 1)]
    assert from_file(tmp_path, "events*", "acc") == []
    assert columns(MetricConfig(file="events*"), [tmp_path], 0.0) == ["val/acc", "loss"]
    with next(tmp_path.glob("events*")).open("ab") as file:
        file.write(b"\x18\x00\x00half")
    assert from_file(tmp_path, "events*", "val_acc") == [(0.5, 0), (0.25, 1)]


# names


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        *[
            (name, "minimize")
            for name in ("loss", "val_loss", "valLoss", "eval/perplexity", "val bpb", "WER", "top1_err")
        ],
        *[
            (name, "minimize")
            for name in ("test RMSE", "accuracy_loss", "neg_log_likelihood", "FID", "validation_0-logloss")
        ],
        *[(name, "maximize") for name in ("acc", "val_acc", "Acc@1", "eval/accuracy", "F1", "f1_score", "AUC", "mIoU")],
        *[(name, "maximize") for name in ("mAP@50-95", "mAP50", "BLEU4", "rouge1", "R2", "ep_rew_mean", "error_score")],
        ("neg_mean_squared_error", "maximize"),
        *[(name, None) for name in ("quality", "lossless", "accumulated", "last", "time", "", "mapping", "metric")],
    ],
)
def test_direction(name: str, direction: str | None) -> None:
    assert direction_of(name) == direction


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["loss", "val_acc", "lr"], "val_acc"),
        (["train loss", "val loss"], "val loss"),
        (["loss", "eval_loss", "eval_runtime", "eval_samples_per_second"], "eval_loss"),
        (["val_acc", "val_loss"], None),
        (["eval/accuracy", "best_eval/accuracy"], "eval/accuracy"),
        (["Best val Acc", "val Loss"], "val Loss"),
        (["validation accuracy"], "validation accuracy"),
        (["Validation Loss", "validation_loss"], "Validation Loss"),
        (["accuracy", "loss"], None),
        (["test_acc"], None),
        (["valuation_loss", "evaluate"], None),
        (["val_acc_top5_test"], None),
        ([], None),
    ],
)
def test_usual_validation_name(names: list[str], expected: str | None) -> None:
    assert usual_validation_name(names) == expected


def test_test_metrics() -> None:
    assert all(map(is_test_metric, ("test_acc", "Test accuracy", "test/loss", "testLoss")))
    assert not any(map(is_test_metric, ("val_acc", "latest_acc", "contest", "attestation")))
