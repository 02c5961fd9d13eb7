"""Commands as templates: what is recognised in them, placeholders, and the notation of what a run is given."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flatdirs.errors import ConfigError
from flatdirs.objectives.command.notation import is_number, written
from flatdirs.objectives.command.template import Slot, Template, masked_words

SPECIAL = {"seed": "7", "run": "12", "run_dir": "/runs/0012", "port": "29500"}


def starts(slots: dict[str, Slot]) -> dict[str, object]:
    return {name: slot.start for name, slot in slots.items()}


def said(text: str) -> dict[str, float]:
    """The numbers of "lr=0.1 wd=5e-4"."""
    return {name: float(value) for name, _, value in (part.partition("=") for part in text.split())}


# a command, and below it: what is tuned | what is held | the optimizer
TABLE = r"""
# pytorch/examples
python main.py --lr 1.0 --gamma 0.7 --epochs 3
    lr=1 | epochs=3 | sgd
python main.py --batch-size 64 --test-batch-size 1000 --lr=1.0 --seed 1
    lr=1 | batch_size=64 seed=1 | sgd
python main.py -a resnet18 -b 256 --lr 0.1 --momentum 0.9 --wd 1e-4 --epochs 90 -j 4 -p 10 /data/imagenet
    lr=0.1 momentum=0.9 wd=1e-4 | batch_size=256 epochs=90 | sgd
python main.py --learning-rate 0.1 --weight-decay 1e-4
    lr=0.1 wd=1e-4 |  | sgd
python main.py --dataset cifar10 --lr 2e-4 --beta1 0.5 --manualSeed 5 --niter 25
    lr=2e-4 beta1=0.5 | seed=5 | adamw
python main.py --cuda --emsize 650 --dropout 0.5 --lr 20 --clip 0.25 --bptt 35
    lr=20 |  | sgd
# nanoGPT
python train.py config/gpt2.py --learning_rate=6e-4 --weight_decay=1e-1 --beta1=0.9 --beta2=0.95 --min_lr=6e-5
    lr=6e-4 wd=0.1 beta1=0.9 beta2=0.95 |  | adamw
python train.py --learning_rate=1e-3 --batch_size=12 --lr_decay_iters=2000 --decay_lr=True
    lr=1e-3 | batch_size=12 | sgd
torchrun --standalone --nproc_per_node=8 train.py --learning_rate=6e-4 --max_iters=600
    lr=6e-4 |  | sgd
python train.py learning_rate=3e-4 weight_decay=0.1
    lr=3e-4 wd=0.1 |  | sgd
# Muon, LoRA
python train.py --optimizer muon --lr 0.02 --wd 0.01 --momentum 0.95 --adam_lr 3e-4
    lr=0.02 wd=0.01 momentum=0.95 adamw_lr=3e-4 |  | muon
python train.py --optimizer adamw --lr 1e-3 --adamw_lr 3e-4
    lr=1e-3 | adamw_lr=3e-4 | adamw
python /home/muon/train.py --lr 0.1 --momentum 0.9
    lr=0.1 momentum=0.9 |  | sgd
python finetune.py --optim adamw_torch --learning_rate 2e-4 --lora_r 16 --lora_alpha 32
    lr=2e-4 | lora_rank=16 lora_alpha=32 | adamw
# timm
python train.py /data --model resnet50 --opt sgd --lr 0.5 --momentum 0.9 --weight-decay 2e-5 -b 128 --warmup-lr 1e-6
    lr=0.5 momentum=0.9 wd=2e-5 | batch_size=128 | sgd
./distributed_train.sh 4 --opt adamw --lr 1e-3 --momentum 0.9 --min-lr 1e-5 --opt-betas 0.9 0.95 --ema-decay 0.9998
    lr=1e-3 beta1=0.9 beta2=0.95 | momentum=0.9 | adamw
python train.py --opt rmsproptf --opt-eps 1e-3 --lr .048 --lr-cycle-mul 2 --lr-noise 0.42 0.9
    lr=.048 |  | sgd
python train.py --lr 0.1 --bn-momentum 0.01 --bn-eps 1e-5 --decay-rate .97
    lr=0.1 |  | sgd
python train.py --opt lamb --lr 5e-3 --layer-decay 0.7 --weight-decay 0.02
    lr=5e-3 wd=0.02 |  | sgd
# Hugging Face
python run_glue.py --learning_rate 2e-5 --per_device_train_batch_size 32 --num_train_epochs 3 --seed 42
    lr=2e-5 | batch_size=32 epochs=3 seed=42 | adamw
python run_clm.py --learning_rate 5e-5 --weight_decay 0.01 --adam_beta1 0.9 --adam_beta2 0.999 --adam_epsilon 1e-8
    lr=5e-5 wd=0.01 beta1=0.9 beta2=0.999 |  | adamw
python run.py --optim adamw_torch_fused --learning_rate 5e-5 --lr_scheduler_type cosine
    lr=5e-5 |  | adamw
python run.py --optim=sgd --learning_rate 1e-2 --num_train_epochs 1.5
    lr=1e-2 | epochs=1.5 | sgd
python run.py --optim adafactor --learning_rate 1e-3 --warmup_ratio 0.1 --per_device_eval_batch_size 8
    lr=1e-3 |  | sgd
accelerate launch --num_processes 2 train.py --learning_rate 1e-4 --lr_warmup_steps 500
    lr=1e-4 |  | sgd
deepspeed --num_gpus=2 train.py --deepspeed ds.json --learning_rate 1e-5 --train_batch_size 16
    lr=1e-5 | batch_size=16 | sgd
# Lightning CLI
python main.py fit --optimizer.lr 0.01 --trainer.max_epochs 5 --data.batch_size 64
    lr=0.01 | epochs=5 batch_size=64 | sgd
python main.py fit --optimizer=AdamW --optimizer.lr=0.01 --optimizer.weight_decay=0.1
    lr=0.01 wd=0.1 |  | adamw
python main.py fit --optimizer.class_path torch.optim.Adam --optimizer.init_args.lr 0.01 --seed_everything 3
    lr=0.01 | seed=3 | adam
python main.py fit --model.learning_rate 0.02 --lr_scheduler.gamma 0.9
    lr=0.02 |  | sgd
python main.py fit --model.optimizer.init_args.lr=0.02 --model.scheduler.init_args.lr=0.5
    lr=0.02 |  | sgd
python main.py fit --model.init_args.lr 0.02 --lr_scheduler.init_args.momentum 0.3
    lr=0.02 |  | sgd
python main.py fit --optimizer.betas '[0.9, 0.99]' --optimizer.lr 0.02
    beta1=0.9 beta2=0.99 lr=0.02 |  | adamw
# Hydra
python train.py optimizer.lr=0.01 trainer.max_epochs=3 seed=12
    lr=0.01 | epochs=3 seed=12 | sgd
python train.py model.optimizer.lr=0.005 model.optimizer.weight_decay=0.01 data.batch_size=32
    lr=0.005 wd=0.01 | batch_size=32 | sgd
python train.py optim=adamw optim.lr=1e-3 optim.weight_decay=0 'optim.betas=[0.9,0.95]'
    lr=1e-3 beta1=0.9 beta2=0.95 | wd=0 | adamw
python train.py experiment=mnist +optimizer.lr=0.1 ++optimizer.momentum=0.8
    lr=0.1 momentum=0.8 |  | sgd
python train.py model.optimizer._target_=torch.optim.Adam model.optimizer.lr=0.002
    lr=0.002 |  | adam
python train.py lr=0.1 lr_scheduler.lr=0.3 warmup.lr=0.01 ema.momentum=0.99 model.bn.momentum=0.1
    lr=0.1 |  | sgd
python train.py lr=0.1 '~optimizer.lr=0.3' optimizer.lr=0.1,0.2
    lr=0.1 |  | sgd
python train.py --config-name big opt.lr=3e-4 run.name=lr=5
    lr=3e-4 |  | sgd
# fairseq
fairseq-train data --optimizer adam --adam-betas '(0.9, 0.98)' --lr 5e-4 --warmup-init-lr 1e-7 --max-tokens 4096
    beta1=0.9 beta2=0.98 lr=5e-4 |  | adam
fairseq-train data --optimizer nag --lr 0.25 --clip-norm 0.1 --lr-shrink 0.1 --end-lr 1e-9
    lr=0.25 |  | sgd
# other programs
python fit.py --alpha 0.1 --eta0 0.01 --learning_rate_init 0.001 --momentum 0.9
    lr=0.001 momentum=0.9 |  | sgd
yolo train model=yolo.pt lr0=0.01 lrf=0.01 momentum=0.937 weight_decay=0.0005 batch=16
    lr=0.01 momentum=0.937 wd=5e-4 | batch_size=16 | sgd
python train.py --betas 0.9 0.999 --lr 1e-3
    beta1=0.9 beta2=0.999 lr=1e-3 |  | adamw
python train.py --betas=0.9,0.999 --lr 1e-3
    beta1=0.9 beta2=0.999 lr=1e-3 |  | adamw
python train.py --betas 0.9 0.98 0.999 --lr 1e-3
    lr=1e-3 |  | sgd
python train.py --betas 0.9 --lr 1e-3
    lr=1e-3 |  | sgd
python train.py --betas=0.9 0.999 --lr 1e-3
    lr=1e-3 |  | sgd
python train.py -lr 0.1 -wd 1e-4 -bs 32
    lr=0.1 wd=1e-4 | batch_size=32 | sgd
python train.py --opt.lr 0.1 --mom 0.8
    lr=0.1 momentum=0.8 |  | sgd
python train.py --lr 0.1 --mom 0 --wd 0
    lr=0.1 momentum=0 | wd=0 | sgd
python train.py --lr 0.1 --wd -1 --momentum 1
    lr=0.1 | wd=-1 momentum=1 | sgd
python train.py --lr 0.1 --wd auto --momentum None --batch-size 1e3 --seed -1
    lr=0.1 |  | sgd
python train.py --lr inf --wd nan --momentum 1_0
     |  | sgd
python train.py --lr 0.1 --lr 0.2
    lr=0.2 |  | sgd
python train.py --weight-decay 0.1 --lr 0.1 --weight_decay=0.2
    wd=0.2 lr=0.1 |  | sgd
python train.py --lr 0.1 --lr auto
     |  | sgd
python train.py --lr
     |  | sgd
python train.py lr 0.1 -momentum0.9 --llr 0.1 --lr-decay 0.1 --max-lr 1 --base-lr 2 --lr-scheduler 3
     |  | sgd
python train.py --use-adam --lr 0.1 --momentum 0.5
    lr=0.1 | momentum=0.5 | adam
python /home/adam/train.py --lr 0.1 --momentum 0.5 --adam-eps 1e-8
    lr=0.1 momentum=0.5 |  | sgd
python train.py --opt sgd --lr 0.1 --name versus-adamw
    lr=0.1 |  | sgd
python train_adamw.py --lr 0.1
    lr=0.1 |  | adamw
python train.py --opt NAdam --lr 0.1
    lr=0.1 |  | sgd
python train.py --optimizer radam --lr 0.1 --schedule adamant
    lr=0.1 |  | sgd
LR=0.1 SEED=3 bash train.sh
    lr=0.1 | seed=3 | sgd
env LR=0.1 WEIGHT_DECAY=5e-4 make train
    lr=0.1 wd=5e-4 |  | sgd
make train LR=0.1 EPOCHS=3
    lr=0.1 | epochs=3 | sgd
awk -v lr=0.1 -v wd=1e-3 -f fit.awk data.txt
    lr=0.1 wd=1e-3 |  | sgd
perl fit.pl --lr=.1 --momentum=.9
    lr=.1 momentum=.9 |  | sgd
Rscript fit.R --learning-rate 1. --epochs 4
    lr=1. | epochs=4 | sgd
julia --project=. fit.jl --lr 1E-3 -- --momentum 0.9
    lr=1e-3 momentum=0.9 |  | sgd
docker run -e LR=0.1 image train --epochs 3
    lr=0.1 | epochs=3 | sgd
srun -n 1 python train.py --cfg-options optimizer.lr=0.02 optimizer.momentum=0.9
    lr=0.02 momentum=0.9 |  | sgd
python train.py --lr 0.1 --name lr=0.3 --run-name momentum=0.5
    lr=0.1 |  | sgd
bash -c 'python a.py --lr 0.1 --optimizer adamw | tee log'
     |  | adamw
python -c 'print(1)' --lr=+0.1
    lr=0.1 |  | sgd
# placeholders
python train.py --rate {lr:0.1} --decay {wd:1e-4}
    lr=0.1 wd=1e-4 |  | sgd
python train.py --lr 0.3 --optimizer.lr {lr:0.1}
    lr=0.1 |  | sgd
python train.py --lr 0.3 --dropout {dropout:0.1:0:0.5} --bs {batch_size:64}
    lr=0.3 dropout=0.1 batch_size=64 |  | sgd
python train.py --lr {rate:0.1} --seed {seed} --epochs {epochs:5}
    rate=0.1 epochs=5 |  | sgd
python train.py --opt {opt:2|adamw} --lr 0.1 --momentum {momentum:0.9}
    opt=2 lr=0.1 momentum=0.9 |  | sgd
python train.py --opt adamw --lr 0.1 --momentum {momentum:0.9}
    lr=0.1 momentum=0.9 |  | adamw
python train.py --lr 0.1 --out runs/lr{lr}
    lr=0.1 |  | sgd
python train.py --batch-size 64 --out runs/{batch_size} --lr 1
    batch_size=64 lr=1 |  | sgd
"""
_LINES = [line for line in TABLE.strip().splitlines() if not line.startswith("#")]
COMMANDS = [(command, *said.strip().split("|")) for command, said in zip(_LINES[::2], _LINES[1::2], strict=True)]


@pytest.mark.parametrize(("command", "tuned", "held", "optimizer"), COMMANDS, ids=[row[0] for row in COMMANDS])
def test_what_a_command_line_says(command: str, tuned: str, held: str, optimizer: str) -> None:
    template = Template.parse(command)
    assert starts(template.slots) == said(tuned)
    assert starts(template.held) == said(held)
    assert template.optimizer == optimizer.strip()
    assert all(slot.why for slot in template.held.values())


@pytest.mark.parametrize("command", [row[0] for row in COMMANDS])
def test_the_starts_give_back_the_command(command: str) -> None:
    """Whatever was recognised, the start's values are written as they stood there, and so without any values."""
    template = Template.parse(command)
    known = {name: slot.start for name, slot in {**template.slots, **template.held}.items() if name != "seed"}
    assert template.command(known, {}) == template.command({}, {})
    if "{" not in command:
        words = shlex.split(command)
        assert template.command(known, {}) == (["env", *words] if "=" in words[0] else words)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["--lr", "--lr=0.1", "0.1", "--betas", "(0.9, 0.98)", "--seed", "lr=1e-3", "--", "-b", "64"]
            ),
            st.text(st.characters(exclude_characters="{}`$=", exclude_categories=["C"]), max_size=8),
        )
    )
)
def test_every_argv_comes_back_unchanged(words: list[str]) -> None:
    """Also words that nobody foresaw; empty ones, too."""
    template = Template.parse(shlex.join(["python", *words]))
    known = {name: slot.start for name, slot in {**template.slots, **template.held}.items() if name != "seed"}
    assert template.command(known, {}) == ["python", *words]


def test_new_values_stand_in_the_place_and_the_notation_of_the_old_ones() -> None:
    template = Template.parse(
        "python t.py --lr 0.001 --wd=1e-3 --adam-betas '(0.9, 0.98)' -b 64 --seed 3 --lr-decay 0.1"
    )
    values = {"lr": 4e-4, "wd": 2.5e-5, "beta1": 0.8586, "beta2": 0.9991, "batch_size": 128}
    assert template.command(values, {"seed": "11"}) == [
        *("python", "t.py", "--lr", "0.0004", "--wd=2.5e-5", "--adam-betas", "(0.8586, 0.9991)"),
        *("-b", "128", "--seed", "11", "--lr-decay", "0.1"),
    ]


def test_a_value_without_a_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="wd"):
        Template.parse("python t.py --lr 0.1").command({"wd": 1e-4}, {})


def test_of_a_flag_given_twice_only_the_last_is_replaced() -> None:
    template = Template.parse("python t.py --weight-decay 1 --lr 0.1 --lr=0.2 --weight_decay=2")
    words = ["python", "t.py", "--weight-decay", "1", "--lr", "0.1", "--lr=0.5", "--weight_decay=3"]
    assert template.command({"lr": 0.5, "wd": 3}, {}) == words


def test_a_bare_placeholder_moves_with_the_flag_of_its_name() -> None:
    template = Template.parse("python t.py --out runs/{lr}_{seed} --lr 1e-3 --seed 5")
    assert template.command({"lr": 4e-4}, SPECIAL) == [
        "python",
        "t.py",
        "--out",
        "runs/4e-4_7",
        "--lr",
        "4e-4",
        "--seed",
        "7",
    ]
    assert not template.slots["lr"].bare


def test_an_explicit_placeholder_with_a_start_leaves_flags_of_its_name_alone() -> None:
    template = Template.parse("python t.py --lr 0.3 optimizer.lr=0.2 --rate {lr:0.1}")
    assert template.command({"lr": 0.5}, {}) == ["python", "t.py", "--lr", "0.3", "optimizer.lr=0.2", "--rate", "0.5"]
    template.require_learning_rate()


# placeholders


def test_special_placeholders_are_given_each_run() -> None:
    template = Template.parse(
        "python t.py --lr 0.1 --out {run_dir} --port={port} --name r{run}s{seed} --other {seed:3}"
    )
    assert template.command({}, SPECIAL)[4:] == [
        "--out",
        "/runs/0012",
        "--port=29500",
        "--name",
        "r12s7",
        "--other",
        "7",
    ]
    assert template.takes_seed
    assert template.specials == set(SPECIAL)
    assert (set(template.slots), set(template.held)) == ({"lr"}, set())
    assert template.command({}, {})[4:] == ["--out", "{run_dir}", "--port={port}", "--name", "r{run}s3", "--other", "3"]


@pytest.mark.parametrize(
    ("command", "takes"), [("t --seed 3", True), ("t {seed}", True), ("t --lr 1 --seed -1", False)]
)
def test_takes_seed(command: str, takes: bool) -> None:
    assert Template.parse(command).takes_seed is takes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{x:0.1}", Slot("x", 0.1, "{x:0.1}", "0.1", explicit=True)),
        ("{x:4}", Slot("x", 4, "{x:4}", "4", whole=True, explicit=True)),
        ("{x:4:1:16}", Slot("x", 4, "{x:4:1:16}", "4", 1, 16, whole=True, explicit=True)),
        ("{x:4:0.5:16}", Slot("x", 4, "{x:4:0.5:16}", "4", 0.5, 16, explicit=True)),
        ("{x:1e-3:1e-5:1:log}", Slot("x", 1e-3, "{x:1e-3:1e-5:1:log}", "1e-3", 1e-5, 1, "log", explicit=True)),
        ("{x:0:-1:1:linear}", Slot("x", 0, "{x:0:-1:1:linear}", "0", -1, 1, "linear", whole=True, explicit=True)),
        ("{m.x:.1:.01:.9:logit}", Slot("m.x", 0.1, "{m.x:.1:.01:.9:logit}", ".1", 0.01, 0.9, "logit", explicit=True)),
        ("{lr:1}", Slot("lr", 1.0, "{lr:1}", "1", explicit=True)),
        ("{learning_rate:0.1}", Slot("lr", 0.1, "{learning_rate:0.1}", "0.1", explicit=True)),
        (
            "{batch_size:64:16:512}",
            Slot("batch_size", 64, "{batch_size:64:16:512}", "64", 16, 512, whole=True, explicit=True),
        ),
        ("{lr}", Slot("lr", None, "{lr}", explicit=True)),
        ("{batch_size}", Slot("batch_size", None, "{batch_size}", whole=True, explicit=True)),
    ],
)
def test_the_slot_of_a_placeholder(text: str, expected: Slot) -> None:
    assert list(Template.read(["t", f"--flag={text}"]).slots.values()) == [expected]


def test_choices_are_written_as_they_are_spelled() -> None:
    template = Template.read(["t", "{act:relu|gelu}", "{width:0.50|64|1e2|auto}", "--f={flag:true|false}"])
    assert template.slots["act"].choices == ("relu", "gelu")
    assert template.slots["width"].choices == (0.5, 64, 100.0, "auto")
    assert starts(template.slots) == {"act": "relu", "width": 0.5, "flag": "true"}
    assert template.command({}, {}) == ["t", "relu", "0.50", "--f=true"]
    assert template.command({"act": "gelu", "width": 100.0, "flag": "false"}, {}) == ["t", "gelu", "1e2", "--f=false"]
    with pytest.raises(ValueError, match="tanh"):
        template.command({"act": "tanh"}, {})


def test_whole_numbers_stay_whole() -> None:
    template = Template.read(["t", "{layers:4:1:16}", "{lr:1}"])
    assert template.command({"layers": 8.0, "lr": 0.5}, {}) == ["t", "8", "0.5"]
    with pytest.raises(ValueError, match="layers"):
        template.command({"layers": 2.5}, {})


def test_a_name_twice_is_one_value() -> None:
    template = Template.read(["t", "{dropout:0.1:0:0.5}", "--out={dropout}/{dropout:0.1:0:0.5}"])
    assert template.command({"dropout": 0.25}, {}) == ["t", "0.25", "--out=0.25/0.25"]


@pytest.mark.parametrize(
    "word",
    [
        *('{"a": {"b": 1}}', '{"lr":0.1}', "{}", "${lr}", "${lr:0.1}", "$${x}", "${{ lr }}", "{{ lr }}", "{lr: 0.1}"),
        *("{epoch:02d}-{val_loss:.2f}", "{epoch}", "{dropout}", "{a:1,b:2}", "model={lr:0.1,wd:0.2}", "{a: x|y}"),
        *("{x:abc}", "{x:}", "{1:2}", "{", "}", "}{", "{a,b}", "{1..5}", "{x!r}", "[{'lr': 1}]", "{{x}}", "}}", "{{"),
    ],
)  # fmt: skip
def test_other_braces_stay_as_they_are(word: str) -> None:
    template = Template.read(["t", word, f"--x={word}"])
    assert (template.slots, template.command({}, SPECIAL)) == ({}, ["t", word, f"--x={word}"])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("{{lr}}", "{lr}"),
        ("{{lr:0.1}}", "{lr:0.1}"),
        ("{{seed}}", "{seed}"),
        ("{{act:relu|gelu}}", "{act:relu|gelu}"),
        ("{{lr:a}}", "{lr:a}"),
        ("{{{lr:0.1}}}", "{0.5}"),
        ("{{{{lr}}}}", "{{lr}}"),
        ('{"a": {"b":{lr:0.1}}}', '{"a": {"b":0.5}}'),
        ("{{lr:0.1}", "{0.5"),
        ("opt={lr:{lr:0.1},wd:1}", "opt={lr:0.5,wd:1}"),
    ],
)
def test_doubled_braces_escape_placeholders(word: str, expected: str) -> None:
    template = Template.read(["t", word])
    assert template.command(dict.fromkeys(template.slots, 0.5), SPECIAL) == ["t", expected]


@pytest.mark.parametrize(
    "word",
    [
        *("{lr:abc}", "{lr:.2e}", "{lr:0}", "{lr:-1}", "{wd:0}", "{momentum:1}", "{beta1:-0.1}", "{batch_size:6.5}"),
        *("{x:0.1:0.2}", "{x:0.1:0.2:0.3}", "{x:0.5:1:0.1}", "{x:1:1:1}", "{x:1:2:3:4:5}", "{x:1:a:b}"),
        *("{x:1:0.1:10:exp}", "{x:1:0:10:log}", "{x:0.5:0:1:logit}", "{x:0.5:0.1:2:logit}", "{lr:1:0.1:10:linear}"),
        *("{lr:0.1:0:1}", "{momentum:0.9:0.5:1}", "{x:a|a}", "{x:|--amp}", "{x:1|1.0}"),
        *("{run:3}", "{seed:1:0:5}", "{seed:a|b}", "{seed:0.5}", "{run_dir:x}", "{port:1|2}", "{lr:0.1}{lr:0.2}"),
    ],
)  # fmt: skip
def test_placeholders_that_cannot_be(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Template.read(["t", word])
    assert caught.value.key == "task.command"


# what asks for a placeholder


@pytest.mark.parametrize(
    "command",
    [
        "python t.py --epochs 3",
        "python t.py --momentum 0.9 --wd 1e-4",
        "python t.py --lr 0",
        "python t.py --lr auto --seed {seed}",
        "python t.py --lr 0.1 0.01 --wd 1e-4",
        "python t.py --lr 0.1,0.01",
        "python t.py --lr 0.1 --optimizer.lr 0.1",
        "python t.py --lr 0.1 lr=0.1",
        "python t.py --lr 0.1 --learning-rate 0.1",
        "python t.py --lr 0.1 --wd 0.1 --optimizer.weight_decay 0.1",
        "python t.py --lr 1e-3 --betas 0.9 0.99 --beta1 0.8",
        "python t.py {lr}",
        "python t.py --lr {lr} --x {dropout:0.5}",
        "python t.py --lr 0.1 --opt.lr 0.2 --out {lr}",
    ],
)
def test_what_needs_a_placeholder(command: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Template.parse(command).require_learning_rate()
    assert caught.value.key == "task.command"
    assert "{" in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        "python t.py --lr 0.1",
        "python t.py --x {dropout:0.5}",
        "python t.py --lr 0.1 --opt.lr {lr:0.2}",
        "python t.py --lr 0.1 --seed 1 data.seed=2 --batch-size 4 --bs 5",
    ],
)
def test_what_needs_none(command: str) -> None:
    Template.parse(command).require_learning_rate()


def test_a_start_told_elsewhere() -> None:
    template = Template.parse("python t.py {lr} {wd}")
    template.require_learning_rate(started=["lr", "wd"])
    assert template.command({"lr": 0.25, "wd": 1e-5}, {}) == ["python", "t.py", "0.25", "0.00001"]


def test_held_ones_are_tuned_where_they_are_asked_for() -> None:
    template = Template.parse("python t.py --lr 0.1 --batch-size 64 --wd 0 --seed 1 --momentum 0.9 --optimizer adamw")
    tuned = template.require(["lr", "batch_size", "momentum"])
    assert {name: (slot.start, slot.whole, slot.why) for name, slot in tuned.items()} == {
        "lr": (0.1, False, ""),
        "batch_size": (64, True, ""),
        "momentum": (0.9, False, ""),
    }
    for name in ("wd", "seed", "dropout"):
        with pytest.raises(ConfigError) as caught:
            template.require([name])
        assert caught.value.key == "tune"
    with pytest.raises(ConfigError) as caught:
        Template.parse("python t.py --lr 0.1 -b 4 --bs 5").require(["batch_size"])
    assert caught.value.key == "task.command"


# reading the words


@pytest.mark.parametrize(
    "text",
    [
        *("python t.py --lr 0.1 | tee log", "python t.py|tee log", "cd src && python t.py", "python a.py; python b.py"),
        *("python t.py > log", "python t.py >log 2>&1", "python t.py 2>/dev/null", "t < in", "python t.py &", "a || b"),
        *("t --out $(date)", "t --out `date`", "python t.py 'open", "", "  ", "A=1", "A=1 B=2", "''"),
    ],
)  # fmt: skip
def test_texts_that_are_no_command(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Template.parse(text)
    assert caught.value.key == "task.command"


@pytest.mark.parametrize(
    "words",
    [
        *(["t", operator, "x"] for operator in ("|", "&&", "||", ";", ">", ">>", "<", "2>&1", "&", "&>", "2>", "|&")),
        *(["t", "--out", "$(date)"], ["t", "`date`"], [], ["A=1"], [""]),
    ],
)  # fmt: skip
def test_argvs_that_are_no_command(words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Template.read(words)
    assert caught.value.key == "task.command"


@pytest.mark.parametrize(
    "text",
    [
        "bash -c 'python t.py | tee log && echo $(date) > x; done'",
        'bash -c "python t.py | tee log"',
        "grep '|' '<' file",
        r"find . -exec ls \;",
        "t 'http://host/a?b=1&c=2' --opt {opt:sgd|adamw}",
        "t -- --lr 0.1 --",
    ],
)
def test_quoted_operators_are_texts(text: str) -> None:
    assert Template.parse(text).command({}, {}) == [
        word.replace("{opt:sgd|adamw}", "sgd") for word in shlex.split(text)
    ]


def test_scripts_in_an_argv_are_texts() -> None:
    words = ["bash", "-c", "$(date)", "a|b", "x $(date) | y", "a>b"]
    assert Template.read(words).command({}, {}) == words


def test_leading_assignments_become_env() -> None:
    expected = ["env", "A=1", "B=x y", "python", "t.py", "C=2"]
    assert Template.read(["A=1", "B=x y", "python", "t.py", "C=2"]).command({}, {}) == expected
    assert Template.parse("A=1 B='x y' python t.py C=2").command({}, {}) == expected
    assert Template.parse("python t.py \\\n  --lr 0.1").command({}, {}) == ["python", "t.py", "--lr", "0.1"]


def test_placeholders_inside_a_script() -> None:
    template = Template.read(["bash", "-c", "python t.py --lr {lr:0.1} | tee {run_dir}/log"])
    assert template.command({"lr": 0.2}, SPECIAL)[2] == "python t.py --lr 0.2 | tee /runs/0012/log"


def test_name_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("Größe 1.py", "conf.yaml", "out.log", "pack/__main__.py", "pack/fit.py", "python"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    template = Template.read(
        ["A=1", sys.executable, "Größe 1.py", "--config=conf.yaml", "--out", "out.log", "Größe 1.py"]
    )
    assert (template.name, template.files) == ("Größe 1", (Path("Größe 1.py"), Path("conf.yaml")))
    assert Template.parse("./python -m pack.fit --lr 1").files == (Path("pack/fit.py"),)
    assert Template.parse("python -m pack --lr 1").files == (Path("pack/__main__.py"),)
    assert Template.parse("./conf.yaml x").name == "conf"
    assert Template.parse("echo nothing.py {lr:0.1} / . '' " + "x" * 5000).name == "command"


# notation

NOTATIONS = [
    "1e-3",
    "1E-3",
    "1.0e-3",
    "1.5e+2",
    "1e-03",
    "1.e-3",
    "0.001",
    "0.1",
    ".1",
    "1.",
    "1.0",
    "1",
    "64",
    "-2",
    "+0.5",
    "0",
]


@pytest.mark.parametrize(
    ("like", "value", "expected"),
    [
        ("1e-3", 4e-4, "4e-4"),
        ("1e-3", 8.586e-5, "8.586e-5"),
        ("1e-3", 0.5, "5e-1"),
        ("1e-3", 1.0, "1e0"),
        ("1E-3", 4e-4, "4E-4"),
        ("1.0e-3", 4e-4, "4.0e-4"),
        ("1e-03", 4e-4, "4e-04"),
        ("1e-03", 40.0, "4e+01"),
        ("1.e-3", 4e-4, "4.e-4"),
        ("0.001", 4e-4, "0.0004"),
        ("0.001", 2.0, "2.0"),
        ("0.001", 4.345e-7, "4.345e-7"),
        ("0.001", 4e-9, "4.0e-9"),
        ("0.001", 3e12, "3.0e+12"),
        (".1", 4e-3, ".004"),
        ("1.", 2.0, "2."),
        ("1.", 0.5, "0.5"),
        ("1", 2.0, "2"),
        ("1", 0.5, "0.5"),
        ("64", 128, "128"),
        ("64", 10**12, "1000000000000"),
        ("0.9", 0.8586, "0.8586"),
        ("0.90", 0.9, "0.90"),
        ("0.1", 0.0, "0.0"),
        ("-.1", -0.2, "-.2"),
    ],
)
def test_a_value_in_the_notation_of_the_start(like: str, value: float, expected: str) -> None:
    assert written(value, like) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(NOTATIONS))
@example(5e-324, "0.1")
@example(1.7976931348623157e308, "1")
@example(-0.0, "1e-3")
def test_what_is_written_parses_back(value: float, like: str) -> None:
    text = written(value, like)
    assert is_number(text)
    assert float(text) == value


@given(st.floats(1e-5, 1e5), st.sampled_from(NOTATIONS))
def test_the_kind_of_notation_stays(value: float, like: str) -> None:
    value = float(f"{value:.4g}")
    text = written(value, like)
    assert ("e" in text.lower()) == ("e" in like.lower())
    if "e" in like.lower() or "." in like:
        assert "." in text or "e" in text.lower()  # no whole number where the start was none


@given(st.integers(), st.sampled_from(["64", "1", "-3"]))
def test_whole_numbers_are_written_in_full(value: int, like: str) -> None:
    assert written(value, like) == str(value)


# secrets


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("t --api-key X1 --lr 0.1", "t --api-key *** --lr 0.1"),
        ("t --api-key=X1", "t --api-key=***"),
        ("API_KEY=X1 t", "API_KEY=*** t"),
        ("t --wandb.apikey=X1 --apiKey X1 --HF_TOKEN X1", "t --wandb.apikey=*** --apiKey *** --HF_TOKEN ***"),
        ("t --password 1234 --db-passwd=1 --client_secret X1", "t --password *** --db-passwd=*** --client_secret ***"),
        ("t +logger.secret=X1 --auth.token X1 --secrets a", "t +logger.secret=*** --auth.token *** --secrets ***"),
        ("t --use-token --lr 0.1 --key", "t --use-token --lr 0.1 --key"),
        (
            "t --max-tokens 4096 --max_tokens=4096 --tokenizer bert",
            "t --max-tokens 4096 --max_tokens=4096 --tokenizer bert",
        ),
        ("t --monkey x --keyboard=y --secretary z", "t --monkey x --keyboard=y --secretary z"),
        ("t --storage postgresql://me:pw@host/db", "t --storage postgresql://me:***@host/db"),
        ("t --token ''", "t --token ''"),
    ],
)
def test_secrets_are_masked(command: str, expected: str) -> None:
    assert masked_words(shlex.split(command)) == shlex.split(expected)


def test_secrets_in_a_script_are_masked() -> None:
    script = "API_KEY=X1 t --token X1 --token='X 1' --lr 0.1 | tee log"
    assert masked_words(["bash", "-c", script])[2] == "API_KEY=*** t --token *** --token=*** --lr 0.1 | tee log"


def test_the_text_of_a_template() -> None:
    """It can be read again, but for secrets."""
    text = "API_KEY=X1 python 't 1.py' --lr 0.1 --x '{dropout:0.1}' '{{lr}}' --token X1 --max-tokens '{n:4096}'"
    template = Template.parse(text)
    assert template.text() == "env " + text.replace("X1", "***").replace("***", "'***'").replace(
        "API_KEY='***'", "'API_KEY=***'"
    )
    assert Template.parse(template.text()).slots == template.slots
    assert template.command({}, {})[-4:] == ["--token", "X1", "--max-tokens", "4096"]


@pytest.mark.parametrize("text", ["t --api-key X1", "API_KEY=X1 t | tee log", "t --token X1 'open", "API_KEY=X1"])
def test_errors_show_no_secrets(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Template.parse(text).require_learning_rate()
    assert "X1" not in str(caught.value)
