"""The texts of `flatdirs --help` and `flatdirs COMMAND --help`, made from the comments in conf/."""

from __future__ import annotations

from collections.abc import Sequence

from flatdirs.cli import keys
from flatdirs.tuning.formatting import hydra_text

STUDY = ("study",)
BARE_WORDS = {  # keys, in order
    "status": STUDY, "analyze": STUDY, "ask": STUDY, "tell": ("study", "run", "value"), "carry-over": ("file",),
}  # fmt: skip
WITH_TAIL = ("tune", "carry-over")  # commands that take a user's command behind --
OPTIONS = {
    "--cfg job": "print the whole configuration and exit",
    "--config-dir DIR": "also find options in this folder, such as DIR/chart/mine.yaml for chart=mine",
}
BESTS = "best_observed, best_expected"
ASK_OPTION = {
    "--json": f"print one JSON object: study, run, settings, seed, replicate, reason, expected, interval, {BESTS}"
}
TELL_OPTION = {"--json": f"print one JSON object: study, run, {BESTS}"}
DRY_OPTION = {"--dry-run": "say what was recognised in a command and its first runs, and run nothing"}
FOR_OPTION = {'--for "COMMAND"': "the same as for=COMMAND"}
FILE_OPTION = {"--config-file FILE": "take all settings from a YAML file such as best.yaml; other words override it"}


def program_help() -> str:
    """The commands with a line each."""
    lines = ["flatdirs finds good learning rates, momenta and weight decays in few training runs.", ""]
    lines += [
        "usage: flatdirs COMMAND [key=value …]",
        "       flatdirs tune [key=value …] -- python train.py --lr 0.1 …",
        "       flatdirs carry-over batch_size=512:4096 -- python train.py --lr 0.1 …",
        "",
        "commands:",
    ]
    lines += [f"  {command:<10} {keys.title(command).partition(': ')[2]}" for command in keys.COMMANDS]
    lines += ["", "`flatdirs COMMAND --help` lists a command's keys; `flatdirs --version` prints the version.", ""]
    return "\n".join(lines)


def command_help(command: str, words: Sequence[str]) -> str:
    """A command's groups with their options, its keys with their defaults, and its options that begin with --."""
    chosen = keys.choices(words, command)
    groups = keys.groups(command)
    implied, brought = keys.implied(command, chosen), keys.brought(command, chosen)
    chosen, groups = {**implied, **chosen}, {**groups, **implied}
    study = "".join(f" {key.upper()}" for key in BARE_WORDS.get(command, ()))
    study = f" [{study.strip()}]" if study in (" STUDY", " FILE") else study
    tail = " [-- YOUR COMMAND]" if command in WITH_TAIL else ""
    choosing = " [group=option …]" if groups else ""
    lines = [keys.title(command), "", f"usage: flatdirs {command}{study}{choosing} [key=value …]{tail}", ""]
    for group, default in groups.items():
        lines.append(f"{group}=  (default: {default})")
        lines += [f"  {option:<17} {keys.title(f'{group}/{option}')}" for option in keys.options(group, command)]
    lines += ["", "keys, with their defaults:"]
    for key in keys.keys(command, chosen):
        usual = hydra_text(brought[key.name]) if key.name in brought else key.default
        lines.append(f"  {f'{key.name}: {usual}':<44}  {key.comment}")
    if "start" in groups:
        lines.append(f"  {'start=FILE.yaml':<44}  the hyperparameters in a file, such as an earlier best.yaml")
    lines += ["", "options:"]
    own = {"train": FILE_OPTION, "ask": ASK_OPTION, "tell": TELL_OPTION, "tune": DRY_OPTION, "charts": FOR_OPTION}
    options = OPTIONS | own.get(command, {})
    return "\n".join([*lines, *(f"  {option:<20} {text}" for option, text in options.items()), ""])
