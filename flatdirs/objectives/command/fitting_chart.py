"""Which chart fits a command: by its optimizer and by what it gives, as a search of it would choose it.

Template → the chart of what is searched, why it is this one, and what its words do not say
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flatdirs.objectives.command.placeholders import example
from flatdirs.objectives.command.template import FAMILIES, Template
from flatdirs.space.chart import Chart
from flatdirs.space.chart_for import chart_for, chart_name, related
from flatdirs.space.shipped_charts import About, shipped_charts

BETAS = {"beta1", "beta2"}


@dataclass(frozen=True)
class Fitting:
    """`chart` of what is searched, `about` the shipped one that it comes from. `because`: how the optimizer is known.

    `further`: numbers and choices outside the chart. `held`: name → why a number is not searched. `unknown`: a sentence
    for each thing that the command does not say and the chart depends on.
    """

    chart: Chart
    about: About
    because: str
    further: tuple[str, ...]
    held: dict[str, str]
    unknown: tuple[str, ...]


def fitting_chart(template: Template) -> Fitting:
    """The chart that `tune` chooses for a command. Raises ConfigError where it has no learning rate."""
    slots = template.slots
    template.require_learning_rate(started=slots)
    plain = [name for name, slot in slots.items() if not slot.choices and slot.scale in (None, "log")]
    known = related(plain, template.optimizer)
    name = chart_name(known, template.optimizer)
    return Fitting(
        chart_for(known, template.optimizer),
        next(one for one in shipped_charts() if one.name == name),
        _because(template),
        tuple(other for other in slots if other not in known),
        {other: slot.why for other, slot in template.held.items() if other != "seed"},
        tuple(_unknown(template, name)),
    )


def _because(template: Template) -> str:
    family = FAMILIES[template.optimizer]
    if template.named_optimizer:
        return f"the command names {family}"
    betas = sorted(BETAS & set(template.slots))
    said = f"gives {' and '.join(betas)}" if betas else "names no optimizer"
    return f"the command {said}, so {family} is assumed"


def _unknown(template: Template, chart: str) -> Iterator[str]:
    """What the words of a command do not say, the most important first."""
    given, optimizer = {*template.slots, *template.held}, template.optimizer
    if not template.named_optimizer:
        yield "which optimizer it uses; name it in the command, or set chart=NAME"
    for name, slot in template.slots.items():
        if slot.bare:
            told = ", or set task.steps and task.tokens_per_parameter" if (name, optimizer) == ("wd", "adamw") else ""
            yield f"where {name} starts; write a number, as in {example(name)}{told}"
    if chart.startswith("sgd") and {"lr", "wd"} <= set(template.slots):
        yield "whether the network has normalisation layers; without them set chart=sgd_plain"
    if chart.startswith("adam") and optimizer == "adam":
        yield "whether weight decay is coupled (L2), as in torch.optim.Adam; if it is decoupled set chart=adamw"
    if chart == "lora":
        yield "whether updates are scaled by lora_alpha/lora_rank or, as in rsLoRA, by lora_alpha/√lora_rank"
    if "wd" not in given:
        yield "the weight decay, which stays as the code has it"
    elif optimizer != "adam":
        yield "the steps T of a run, and so how many weight-decay timescales it has"
    if optimizer == "muon" and "adamw_lr" not in given:
        yield "the rate of the AdamW part; mark it as in {adamw_lr:3e-4}"
    if optimizer == "adamw" and "batch_size" in given:
        yield "the batch size that beta2 was chosen for; beta2^κ at κ times the batch holds its half-life in tokens"
    searched = [*template.slots, "batch_size"]
    if "batch_size" in template.held and "batch_size" in related(searched, optimizer):
        yield f"whether the batch size may move; tune=[…,batch_size] uses chart {chart_name(searched, optimizer)}"
