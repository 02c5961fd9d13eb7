"""What the name of a metric says: whether it should rise or fall, and which part of the data it was measured on.

Names are compared by whole parts: `val_loss`, `eval/accuracy`, `Acc@1` and `valLoss` have the parts of the words that a
person sees in them. Nothing is read from a name that only looks similar: `lossless` says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

Direction = Literal["maximize", "minimize"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FALL = _words(
    "loss losses error errors err perplexity ppl bpb bpc bpd nll rmse mse mae mape msle rmsle wer cer eer fid kid "
    "lpips logloss crossentropy brier regret"
)
_RISE = _words(
    "acc accuracy accuracies f1 auc auroc auprc score iou miou dice jaccard bleu rouge rougel meteor map precision "
    "recall r2 psnr ssim return returns reward rewards rew ndcg mrr mcc kappa likelihood elbo correct winrate"
)
VALIDATION = _words("val valid validation eval evaluation dev")
TEST = _words("test testing")
TRAINING = _words("train training")
# words that make another metric of the one they stand before
OTHERS = _words(
    "best top max min maximum minimum highest lowest previous prev old initial baseline target running smoothed ema "
    "std delta"
)
QUALIFIERS = VALIDATION | TEST | TRAINING | OTHERS
# words that do not, the first of them part of no name
FILLERS = _words("info debug warning root main the a an got and with")
NEUTRAL = FILLERS | _words("average avg mean final overall")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")


def parts(name: str) -> list[str]:
    """The parts of a name in small letters: ["val", "acc"] of val_acc, Val/Acc and valAcc."""
    return [part for part in re.split(r"[\W_]+", _CAMEL.sub(" ", name).casefold()) if part]


def _sense(part: str) -> Direction | None:
    for word in (part, part.rstrip("0123456789")):  # f1 and r2 as they are, map50 and bleu4 without their number
        if word in _RISE:
            return "maximize"
        if word in _FALL:
            return "minimize"
    return None


def direction_of(name: str) -> Direction | None:
    """Whether a metric of this name should rise or fall, None if the name does not say.

    The last decisive part counts; a part `neg` or `negative` before it turns it round (neg_mean_squared_error).
    """
    found: Direction | None = None
    negative = turned = False
    for part in parts(name):
        negative = negative or part in {"neg", "negative"}
        if (sense := _sense(part)) is not None:
            found, turned = sense, negative
    if found is None or not turned:
        return found
    return "minimize" if found == "maximize" else "maximize"


def is_test_metric(name: str) -> bool:
    """Whether the name says that the metric is of a test set."""
    return not TEST.isdisjoint(parts(name))


def usual_validation_name(names: Iterable[str], of: frozenset[str] = VALIDATION) -> str | None:
    """The one name among these that is a usual name of a validation metric; None if there is none, or several.

    Usual are a validation word and words for a metric with a known direction (val_acc, eval/loss, Validation accuracy).
    Several spellings of one name count once, as the first of them. `of`: the words for the data, such as TEST.
    """
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        words = [part for part in parts(name) if part not in NEUTRAL or _sense(part)]
        if words and _is_usual(words, of):
            found.setdefault(tuple(words), name)
    return next(iter(found.values())) if len(found) == 1 else None


def usual_name(names: Collection[str]) -> str | None:
    """The one usual name of a validation metric; where there is none at all, that of a test metric."""
    found = usual_validation_name(names)
    if found is None and not any(VALIDATION & set(parts(name)) for name in names):
        return usual_validation_name(names, TEST)
    return found


def _is_usual(words: list[str], of: frozenset[str]) -> bool:
    part_of = [word for word in words if word in of]
    rest = [word for word in words if word not in of and not word.isdigit()]
    return len(part_of) == 1 and bool(rest) and all(_sense(word) is not None for word in rest)
