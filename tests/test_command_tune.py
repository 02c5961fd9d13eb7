"""`flatdirs tune … -- COMMAND` as a new user types it: what is said, what is run, what stands there at the end."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml

from tests.conftest import Ended, printed_command
from tests.scripts import everything_stored, python, script, settings_of, states, study_in, tamper

Command = Callable[..., Ended]
SHORT = ["budget=3", "confirm=0"]
ONE_LINE = ["--lr", "0.1", "--momentum", "0.9", "--weight-decay", "5e-4"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line(ended: Ended, label: str) -> str:
    """The rest of the only line that begins so."""
    (found,) = [one.removeprefix(f"{label}: ") for one in ended.out.splitlines() if one.startswith(f"{label}: ")]
    return found


def row(ended: Ended, run: int) -> str:
    """The line of a run."""
    (found,) = [one for one in ended.out.splitlines() if one.startswith(f"run {run:>3}")]
    return found


@pytest.mark.slow
def test_one_line_and_nothing_else(here: Path, command: Command) -> None:
    ended = command("tune", "metric=val_acc", "budget=8", "confirm=4", "--", *script(here), *ONE_LINE)
    assert ended.code == 0, ended.err
    assert "tuned: lr 0.1, momentum 0.9, wd 0.0005" in ended.out
    assert "metric: val_acc, higher is better" in ended.out
    assert "a run takes" in ended.out
    study = study_in(here, "train-flatdirs")
    assert settings_of(study)[0] == {"lr": 0.1, "momentum": 0.9, "wd": 5e-4}
    assert max(run.value for _, run in study.runs()) > study.runs()[0][1].value + 1
    assert "confirmed, 4 runs: incumbent" in ended.out
    best = yaml.safe_load((here / "studies/train-flatdirs/best.yaml").read_text(encoding="utf-8"))
    assert line(ended, "run it") == best["command"]
    again = subprocess.run(best["command"], shell=True, capture_output=True, text=True, check=True)
    number = int(re.search(r"run (\d+)", line(ended, "handed over"))[1])  # type: ignore[index]
    assert float(again.stdout.split()[-1]) == pytest.approx(study.runs()[number - 1][1].value, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["best", "all", "none"])
def test_files_of_the_best_run_stay_and_the_command_may_run_in_its_folder(
    here: Path, command: Command, keep: str
) -> None:
    words = python(here, "open('model.txt', 'w').write(str(lr)); print('val_loss:', abs(lr - 0.3))")
    words = [words[0], str(here / words[1]), *words[2:]]
    usual = ["metric=val_loss", "budget=6", "confirm=0", "run.cwd=run_dir", f"run.keep={keep}"]
    ended = command("tune", *usual, "--", *words, "--lr", "0.1")
    assert ended.code == 0, ended.err
    assert not (here / "model.txt").exists()
    runs = study_in(here, "train-flatdirs").runs()
    kept = {path.parent.name: float(path.read_text()) for path in here.glob("studies/*/runs/*/model.txt")}
    if keep == "best":
        tuned = yaml.safe_load((here / "studies/train-flatdirs/best.yaml").read_text(encoding="utf-8"))
        assert [tuned["lr"]] == list(kept.values())
    else:
        assert len(kept) == (len(runs) if keep == "all" else 0)


def line_number(ended: Ended) -> int:
    """The number of the best run in the closing lines."""
    return int(line(ended, "best").split()[1])


@pytest.mark.slow
def test_the_best_has_one_number_everywhere(here: Path, command: Command) -> None:
    ended = command("tune", "metric=val_acc", "budget=9", "confirm=0", "--", *script(here), *ONE_LINE)
    best = line(ended, "best")
    assert line(command("status"), "best") == best
    analyzed = command("analyze")
    assert analyzed.code == 0, analyzed.err
    assert line(analyzed, "best") == best
    head = (here / "studies/train-flatdirs/best.yaml").read_text(encoding="utf-8")
    assert best.startswith(head.partition("by its own runs: ")[2].splitlines()[0])


@pytest.mark.slow
def test_the_next_search_starts_from_the_printed_command(here: Path, command: Command) -> None:
    ended = command("tune", "metric=val_acc", *SHORT, "--", *script(here), *ONE_LINE)
    again = command(*printed_command(ended.out, "start from it"))
    assert again.code == 0, again.err
    runs, winner = study_in(here, "train-flatdirs"), line_number(ended)
    assert settings_of(study_in(here, "train-flatdirs-2"))[0] == settings_of(runs)[winner - 1]


def test_a_dry_run_runs_and_writes_nothing(here: Path, command: Command) -> None:
    words = [*script(here), *ONE_LINE, "--out"]
    ended = command("tune", "--dry-run", "metric=val_acc", "--", *words, "{run_dir}/x")
    assert ended.code == 0, ended.err
    assert [path.name for path in here.iterdir()] == ["train.sh"]
    commands = [line(ended, f"run {number}") for number in (1, 2, 3)]
    folder = here / "studies/train-flatdirs/runs/0001"
    assert commands[0] in (shlex.join([*words, f"{folder}/x"]), shlex.join([*words, f"{folder.relative_to(here)}/x"]))
    assert len(set(commands)) == 3
    quoted = command("tune", "--dry-run", "metric=val_acc", "--", shlex.join([*words, "{run_dir}/x"]))
    assert quoted.out == ended.out


@pytest.mark.slow
def test_tune_picks_the_axes(here: Path, command: Command) -> None:
    ended = command("tune", "metric=val_acc", "tune=[lr,wd]", *SHORT, "--", *script(here), *ONE_LINE)
    assert ended.code == 0, ended.err
    assert all(set(values) == {"lr", "wd"} for values in settings_of(study_in(here, "train-flatdirs")))
    assert "--momentum 0.9" in line(ended, "run it")
    assert "held: momentum 0.9 (not in tune=)" in ended.out
    assert "tune=[lr,wd]" in line(ended, "start from it")


@pytest.mark.slow
@pytest.mark.parametrize("quote", ["", '"'], ids=["shell", "hydra"])
def test_the_same_study_through_task_command(quote: str, here: Path, command: Command) -> None:
    words = [*script(here), *ONE_LINE]
    assert command("tune", "metric=val_acc", "budget=2", "confirm=0", "--", *words).code == 0
    task = f"task.command={quote}{shlex.join(words)}{quote}"
    ended = command("tune", "task=command", task, "metric=val_acc", *SHORT)
    assert ended.code == 0, ended.err
    assert "continuing after 2 runs" in ended.out
    assert len(study_in(here, "train-flatdirs").runs()) == 3


@pytest.mark.slow
def test_another_command_needs_another_study(here: Path, command: Command) -> None:
    words = script(here)
    assert command("tune", "metric=val_acc", "budget=1", "confirm=0", "--", *words, "--lr", "0.1").code == 0
    ended = command("tune", "metric=val_acc", "budget=1", "confirm=0", "--", *words, "--lr", "0.2")
    assert ended.code == 2
    assert "change study to another name" in ended.err
    assert len(study_in(here, "train-flatdirs").runs()) == 1


@pytest.mark.slow
def test_what_runs_is_never_read_from_the_study(here: Path, command: Command) -> None:
    words = ["tune", "metric=val_acc", "--", *script(here), "--lr", "0.1"]
    assert command(*words[:2], "budget=1", "confirm=0", *words[2:]).code == 0
    tamper(here / "studies/train-flatdirs/journal.log", "sh train.sh", "sh other.sh")
    (here / "other.sh").write_text("touch stolen; echo val_acc 99.123", encoding="utf-8")
    ended = command(*words[:2], *SHORT, *words[2:])
    assert ended.code == 2, "another command is refused"
    assert not (here / "stolen").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["awk", "-v", "lr={lr:0.1}", 'BEGIN { print "val_acc", 90.125 - lr }'],
        ["perl", "-e", 'printf "%s %.4f\\n", "val_acc", 90.125 - $ARGV[1]', "--", "--lr", "0.1"],
        ["LR={lr:0.1}", "sh", "-c", 'echo "val_acc: 9$LR"'],
    ],
    ids=["awk", "perl", "sh"],
)
def test_any_language(words: Sequence[str], here: Path, command: Command) -> None:
    ended = command("tune", "metric=val_acc", "budget=2", "confirm=0", "--", *words)
    assert ended.code == 0, ended.err
    study = study_in(here, "command-flatdirs")
    assert states(study) == ["finished"] * 2
    assert len({run.value for _, run in study.runs()}) == 2


@pytest.mark.slow
class TestMetric:
    """Which number counts, told or not."""

    def test_the_only_validation_name_is_taken(self, here: Path, command: Command) -> None:
        words = python(here, "open('made', 'a').write('x'); print(f'loss 0.123 val_loss {lr:.4f}')")
        ended = command("tune", *SHORT, "output=studies", "--", *words, "--lr", "0.1")
        assert ended.code == 0, ended.err
        assert "lower is better" in ended.out
        assert (here / "made").read_text() == "xxx", "the run that showed the names counts as the first"
        again = command("tune", "budget=4", "confirm=0", "--", *words, "--lr", "0.1")
        assert again.code == 0, again.err
        assert (here / "made").read_text() == "xxxx"
        assert printed_command(again.out, "start from it")[1] == "metric=val_loss"

    def test_several_names_are_listed_and_the_run_is_kept(self, here: Path, command: Command) -> None:
        words = python(here, "open('made', 'a').write('x')\nfor e in '12': print(f'loss 0.5{e} acc_a {lr} acc_b 0.81')")
        ended = command("tune", *SHORT, "--", *words, "--lr", "0.125")
        assert ended.code == 2
        assert all(name in ended.err for name in ("loss (2×", "acc_a (2×, last 0.125", "acc_b (2×"))
        assert command("tune", "metric=acc_a", "budget=1", "confirm=0", "--", *words, "--lr", "0.125").code == 0
        assert (here / "made").read_text() == "x"
        assert study_in(here, "train-flatdirs").runs()[0][1].value == 0.125

    def test_files_that_the_first_run_wrote_are_known_although_it_was_kept(self, here: Path, command: Command) -> None:
        words = python(here, "open('last.ckpt', 'a').write('x'); print('val_acc 0.8125')")
        ended = command("tune", "workers=2", *SHORT, "--", *words, "--lr", "0.125")
        assert ended.code == 2
        assert "last.ckpt" in ended.err

    def test_a_mended_script_is_run_again(self, here: Path, command: Command) -> None:
        words = python(here, "print('noise 3')")
        assert command("tune", *SHORT, "--", *words, "--lr", "0.125").code == 2
        python(here, "print('val_acc', 0.875 - lr)")
        assert command("tune", *SHORT, "--", *words, "--lr", "0.125").code == 0

    def test_only_a_test_metric(self, here: Path, command: Command) -> None:
        words = python(here, "print('train_loss 1.25 test_acc', 0.9 - lr)")
        ended = command("tune", *SHORT, "--", *words, "--lr", "0.125")
        assert ended.code == 0, ended.err
        assert ended.out.count("of the test set") == 1
        runs = here / "studies/train-flatdirs/runs"
        assert (runs / "0001/metrics.csv").read_text(encoding="utf-8") == "step,value\n,0.775\n"

    def test_an_unknown_direction_is_asked_for_before_the_first_run(self, here: Path, command: Command) -> None:
        words = python(here, "open('made', 'w'); print('wobble 0.123')")
        ended = command("tune", "metric=wobble", *SHORT, "--", *words, "--lr", "0.1")
        assert (ended.code, (here / "made").exists()) == (2, False)
        assert "direction=" in ended.err
        told = command("tune", "metric=wobble", "direction=minimize", *SHORT, "--", *words, "--lr", "0.1")
        assert told.code == 0, told.err
        assert "direction=minimize" in line(told, "start from it")

    @pytest.mark.parametrize(("value", "said"), [("0.9", True), ("0.91", True), ("0.914", False), ("nan", False)])
    def test_few_digits_are_said(self, value: str, said: bool, here: Path, command: Command) -> None:
        words = python(here, f"print('val_acc {value}')")
        ended = command("tune", "metric=val_acc", "budget=1", "confirm=0", "--", *words, "--lr", "0.1")
        assert ("smaller differences cannot be seen" in ended.out) is said

    @pytest.mark.parametrize(
        ("body", "keys", "value"),
        [
            ("print('step,acc\\n1,0.5\\n2,0.75', file=open(out + '/a.csv', 'w'))", ["file=a.csv", "column=acc"], 0.75),
            (
                "print('{\"acc\": 0.5}\\n{\"acc\": 0.25}\\n{\"acc', file=open(out + '/a.jsonl', 'w'))",
                ["file=*.jsonl", "name=acc"],
                0.25,
            ),
            ("print('val_acc 0.5\\nval_acc 0.875\\nval_acc 0.625')", ["name=val_acc", "take=best"], 0.875),
            ("print('[final] <<0.3125>>')", ["regex=<<([0-9.]+)>>", "direction=maximize"], 0.3125),
            ("print('done\\n0.4375')", ["name=last", "direction=maximize"], 0.4375),
        ],
        ids=["csv", "json lines", "best", "regex", "last line"],
    )
    def test_files_patterns_and_the_best(
        self, body: str, keys: list[str], value: float, here: Path, command: Command
    ) -> None:
        words = python(here, f"out = os.environ['FLATDIRS_RUN_DIR']\n{body}")
        keys = [f"task.metric.{key}" for key in keys]
        ended = command("tune", *keys, "budget=1", "confirm=0", "--", *words, "--lr", "0.1")
        assert ended.code == 0, ended.err
        assert study_in(here, "train-flatdirs").runs()[0][1].value == value
        assert command(*printed_command(ended.out, "start from it")).code == 0


@pytest.mark.slow
class TestFurther:
    """More than the well-known names: numbers and choices in placeholders."""

    WORDS = ("--lr", "0.1", "--dropout", "{dropout:0.1:0:0.5}", "--opt", "{opt:sgd|adam}")

    def test_they_are_searched_shown_and_printed(self, here: Path, command: Command) -> None:
        ended = command("tune", "metric=val_acc", "budget=8", "confirm=6", "--", *script(here), *self.WORDS)
        assert ended.code == 0, ended.err
        found = settings_of(study_in(here, "train-flatdirs"))
        assert {values["opt"] for values in found} == {"sgd", "adam"}
        assert all(0 <= values["dropout"] <= 0.5 for values in found)
        assert len({values["dropout"] for values in found}) > 1
        assert "dropout=0.1 opt=sgd" in row(ended, 1)
        best = yaml.safe_load((here / "studies/train-flatdirs/best.yaml").read_text(encoding="utf-8"))
        assert (best["opt"], f"--opt {best['opt']}" in line(ended, "run it")) == ("adam", True)
        again = line(ended, "start from it")
        assert "{opt:adam|sgd}" in again
        assert f"{{dropout:{best['dropout']}:0:0.5}}" in again
        assert command(*printed_command(ended.out, "start from it")).code == 0
        for reader in ("status", "analyze"):
            shown = command(reader, "train-flatdirs")
            assert shown.code == 0, shown.err
            assert "opt=adam" in line(shown, "best")

    @pytest.mark.parametrize("search", ["tpe", "random", "qmc"])
    def test_optunas_searches_take_their_ranges(self, search: str, here: Path, command: Command) -> None:
        words = ["tune", f"search={search}", "metric=val_acc", "budget=4", "box.lr=[0.05,0.2]"]
        ended = command(*words, "confirm=0", "--", *script(here), *self.WORDS)
        assert ended.code == 0, ended.err
        for values in settings_of(study_in(here, f"train-{search}")):
            assert 0.05 <= values["lr"] <= 0.2
            assert 0 <= values["dropout"] <= 0.5
            assert values["opt"] in ("sgd", "adam")
        assert command("status").code == command("analyze").code == 0

    def test_whole_numbers_stay_whole_and_in_their_range(self, here: Path, command: Command) -> None:
        body = "layers = int(sys.argv[-1]); print('val_acc', 0.8125 - (layers - 6) ** 2 / 100 - (lr - 0.1) ** 2)"
        words = ["--", *python(here, body), "--lr", "0.1", "--layers", "{layers:3:1:9}"]
        ended = command("tune", "metric=val_acc", "budget=7", "confirm=0", *words)
        assert ended.code == 0, ended.err
        layers = [values["layers"] for values in settings_of(study_in(here, "train-flatdirs"))]
        assert layers[0] == 3
        assert all(isinstance(value, int) and 1 <= value <= 9 for value in layers)
        assert len(set(layers)) > 1

    def test_a_range_is_needed_where_the_search_needs_one(self, here: Path, command: Command) -> None:
        words = ["--", *script(here), "--lr", "0.1", "--dropout", "{dropout:0.1}"]
        ended = command("tune", "search=random", "metric=val_acc", *SHORT, *words)
        assert ended.code == 2
        assert "{dropout:" in ended.err
        assert command("tune", "metric=val_acc", *SHORT, *words).code == 0


@pytest.mark.slow
def test_secrets_are_masked_in_all_but_the_command_itself(here: Path, command: Command) -> None:
    words = python(
        here, "assert 'hush1234' in sys.argv and os.environ['HF_TOKEN'] == 'hush5678'; print('val_acc', .8125)"
    )
    argv = ["env", "HF_TOKEN=hush5678", *words, "--lr", "0.1", "--api-key", "hush1234"]
    ended = command("tune", "metric=val_acc", "budget=2", "confirm=0", "--", *argv)
    assert ended.code == 0, ended.err
    assert "hush" not in ended.out + ended.err
    for path in (here / "studies").rglob("*"):
        if path.is_file() and path.name != "command.sh":  # private, and there to repeat the run
            assert "hush" not in path.read_text(encoding="utf-8", errors="replace"), path
    assert "hush1234" in everything_stored(here)
    assert line(ended, "run it").endswith("fill it in")
    for reader in ("status", "analyze"):
        assert "hush" not in command(reader).out


def test_the_environment_that_is_kept(here: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OWN_SETTING", "abcde-value")
    words = python(here, "print('val_acc 0.8125')")
    assert command("tune", "metric=val_acc", "budget=1", "confirm=0", "--", *words, "--lr", "0.1").code == 0
    stored = (here / "studies/train-flatdirs/journal.log").read_text(encoding="utf-8")
    assert "MY_OWN_SETTING" in stored
    assert "abcde-value" not in stored
    assert "FLATDIRS_RUN_DIR" in stored
