"""What README.md here says between its tables."""

from __future__ import annotations

from benchmarks.edge_sweep.setting import RUNGS, TRIALS, USUAL_KAPPA, WINDOW

TRAINED = [
    "AdamW, 1,000 steps, a linear warm-up over the first 100, half a cosine wave down to 0, judged every 5 steps: 200 evaluations a run.",
    "{ranges}, log-uniformly; β₂ 0.999, no clipping. The ranges and sizes were fixed before the first run. The *transformer*",
    "(`nn.TransformerEncoder`, one layer, width 32, two heads, causal, dropout 0.1) guesses the next character of the text that Python ships in",
    "`pydoc_data.topics`, 16 windows of 32 characters a step, and is judged on 2,048 characters of the text's last tenth. The *resnet* is flatdirs'",
    "own network and trainer on scikit-learn's digits, 12 of 300 images a step, judged on 200 others. Every random run has the same seed,",
    "as in a search. A run that diverged has no final loss; as far as ranks go it is left out.",
]
FORESIGHT = [
    "Spearman's rank correlation of what is shown at evaluations 25, 50 and 100 with the final loss, over all recorded runs that finished and over",
    "their better half by final loss, which is where a sweep must tell one from the other; and which part of the best tenth lies in the better half",
    f"of what is shown, so that a rung would keep it. With n runs a correlation near 0 is uncertain by about ±2/√n. The metrics' window is {WINDOW}.",
]
REPLAYS = [
    "A sweep makes up to 50 of the recorded runs in random order, one after the other, in a real Optuna study whose objective looks the curve up;",
    "all rules get the same orders. *Best run stopped*: in which part of the sweeps the run that would have ended lowest did not get to its end.",
    "*For as much*: an unpruned sweep of the first runs of the same order, as many as the pruned one's evaluations pay for; below 0 the rule is worth",
    "having. Means over orders ± one standard error; orders share runs, so the errors are too small rather than too large.",
    "`wandb strict` is what `pruner=wandb` is by default; `wandb` (`pruner.strict=false`) compares a run's best value so far, also of the metric: where",
    "that is lowest in the warm-up, nothing that comes later can stop the run.",
    "The reward of `sign` in the warm-up has no bound, as it is the loss itself: the higher a run's loss goes there the better it counts, and one that",
    "explodes without becoming infinite counts best of all. Most of what is known at evaluation 25 is warm-up. Where a high loss there goes with a high",
    "one at the end, rungs that are shown `sign` stop first what would have ended lowest; its rows say how often.",
]
MARGINS = [
    "The same for `incumbent`, shown the loss, with many margins, in searches that look up 50 recorded runs: in *random* order, or as a *walk*, each run",
    "the recorded one nearest to the best so far, as a line search stays near its incumbent. The recorded points are random ones and lie far apart, so",
    "that a walk's strides are longer than a line search's factor of 2; a search's own neighbours are more alike, and fewer of them are stopped.",
    "*Seeds*: the margin counts the spread between seeds at that evaluation, known from the points recorded with several. *Jitters*: a search that ran no",
    "point twice counts the jitter of its incumbent's own curve, times a whole number near what the ratio is here. *Winner stopped*: in which part of the",
    "searches the run that would have ended lowest was stopped. The bar for that was set before; that runs may be compared from evaluation 150 on only",
    "was added when on the resnet, whose curves cross late, no margin was safe in jitters from 100 on. The choice is made on these runs, and not",
    "confirmed on others.",
]
SURVIVORS = [
    "All sweeps of a repetition begin with the same ten points, so that only what was shown decides which of them come to their end.",
    "The medians are those of all survivors of all repetitions.",
]
SWEEPS = [
    f"TPE as `flatdirs.tune search=tpe` has it, {TRIALS} trials, rungs at {RUNGS[0]}, {RUNGS[1]} and {RUNGS[2]} of 200 evaluations. Rungs and TPE are shown the loss, or the metric",
    f"in either variant (κ {USUAL_KAPPA:g}, window {WINDOW}); seeds of weights, order and TPE are the same within a repetition, so that the first ten points are, too.",
    "What is compared is always the held-out loss at a run's end. *Lowest final loss* is that of the run that ends lowest, whatever was shown; as it is",
    f"the luckiest of {TRIALS} with the seed of its repetition, this *winner* is also trained anew with three seeds that no sweep had, the same for all, and",
    "judged on the same held-out examples as before: only the seeds are fresh. Differences",
    "are paired by repetition: mean, Student's 95 % interval, the bootstrap's over repetitions (too narrow with five), and how often below 0. A sweep's",
    "budget is its trials; what rungs leave of them is not the same for all, so *for as many evaluations* counts, of both sides, the trials that what the",
    "thriftier one spent would pay for.",
]
