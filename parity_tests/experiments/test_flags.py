"""The help, what a run is called, flags that would do nothing, and those named to help a run."""

import re
import shlex

import pytest

import train
from experiments import run
from experiments.checkpoint import load_arrays
from experiments.config import GROUPS, Config, resolve
from experiments.declare import declared, spelt
from experiments.flags import Job, remarks, ways_out
from experiments.recipes import RECIPES
from parity_tests.experiments.calls import QUICK, about, call, refusal


def test_a_recipe_with_replaced_values_says_so(tmp_path, monkeypatch, capsys) -> None:
    """cnn-10ep with another model is not cnn-10ep: not on screen, in the folder, or in its name."""
    monkeypatch.chdir(tmp_path)
    arguments = ["--recipe", "cnn-10ep", "--model", "mlp", "--dataset", "digits", "--epochs", "1"]
    assert call(*arguments) == 0
    printed = capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "cnn-10ep+model=mlp+hidden=600+epochs=1-numpy-seed0"
    assert "not cnn-10ep itself but cnn-10ep+model=mlp+hidden=600+epochs=1" in printed
    assert "recipe=cnn-10ep " not in printed
    stored = about(folder)
    assert stored["name"] == "cnn-10ep+model=mlp+hidden=600+epochs=1"
    assert stored["changed"] == {"model": "mlp", "hidden": [600], "epochs": 1}
    assert load_arrays(folder / "last.safetensors")[1]["name"] == stored["name"]


def test_a_recipe_itself_keeps_its_name() -> None:
    beside = {"seed": 3, "dtype": "float64", "backend": "torch"}
    for name in RECIPES:
        data = "text" if name == "gpt" else "digits"
        config = resolve(name, {**beside, "dataset": data})
        assert config.name == name
        assert config.changed == {}
        assert Config.from_dict(config.as_dict()) == config
    assert resolve(None, {}).name == "mlp"
    assert resolve("sgd-5ep", {"lr": 0.1, "hidden": (3, 4)}).name == "sgd-5ep+hidden=3-4+lr=0.1"


def test_many_changes_make_no_endless_folder_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    hidden = ["--hidden", *["7"] * 60]
    assert call("--recipe", "sgd-5ep", *hidden, "--dataset", "digits", "--epochs", "1") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "sgd-5ep+2-changes"
    assert about(folder)["changed"]["hidden"] == [7] * 60


@pytest.mark.parametrize(
    ("fields", "momentum"),
    [
        ({"optimizer": "sgd"}, 0.0),
        ({"optimizer": "sgd", "momentum": 0.9}, 0.9),
        ({"optimizer": "adam"}, 0.9),
        ({}, 0.9),
    ],
)
def test_sgd_has_no_momentum_unasked(fields, momentum) -> None:
    for recipe in (None, "momentum-10ep", "sgd-10ep"):
        assert resolve(recipe, {"optimizer": "momentgd", **fields}).momentum == momentum


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gamma", "0.1"], "--gamma has no effect: it needs --scheduler step or"),
        (["--gamma", "0.1", "--scheduler", "cosine"], "this run has cosine"),
        (["--step-size", "3"], "--step-size has no effect: it needs --scheduler step"),
        (["--step-size", "3", "--scheduler", "multistep"], "--step-size has no effect"),
        (["--milestones", "3"], "--milestones has no effect: it needs --scheduler multistep"),
        (["--milestones", "3", "--scheduler", "step"], "--milestones has no effect"),
        (["--min-delta", "0.1"], "--min-delta has no effect without --patience"),
        (["--recipe", "regularised-5ep", "--patience", "0", "--min-delta", "1"], "--min-delta"),
        (["--optimizer", "adam", "--mu-decay", "0.5"], "--mu-decay must be 1 unless"),
        (["--optimizer", "adam", "--lr-decay", "0.5"], "--lr-decay must be 1 unless"),
        (["--optimizer", "sgd", "--mu-decay", "1"], "--mu-decay has no effect"),
        (["--evaluations", "100000"], "--evaluations must be at most 10, the steps of an epoch"),
        (["--batch-size", "1250"], "--evaluations must be at most 1, the steps of an epoch"),
        (["--data", "nowhere"], "--data nowhere has no effect with the digits"),
        (["--data-dir", "nowhere"], "--data nowhere has no effect with the digits"),
        (["--no-checksum"], "--no-checksum has no effect with the digits"),
        (["--batch-norm"], "--batch-norm has no effect: it needs --model cnn, this run has mlp"),
        (["--model", "cnn", "--activation", "tanh"], "--activation has no effect: it needs"),
        (["--weights", "r"], "--weights has no effect without --predict"),
        (["--config", "r", "--recipe", "gpt"], "--recipe and --config each say what to run"),
        (["--predict", "a.png", "--lr", "3"], "--lr has no effect with --predict"),
        (["--list", "--lr", "3"], "--lr has no effect with --list"),
        (["--model", "cnn", "--hidden", "3", "4"], "--hidden must be one size, but for the mlp"),
    ],
)
def test_flags_without_effect_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    alone = {"--list", "--predict"} & set(arguments)
    digits = [] if alone else ["--dataset", "digits"]
    assert message in refusal(capsys, *arguments, *digits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "extra",
    [
        ["--resume", "r"],
        ["--recipe", "foo"],
        ["--out", "q"],
        ["--lr", "1"],
        ["--seed", "0"],
        ["--epochs", "2"],
        ["--optimizer", "sgd"],
        ["--batch-size", "3"],
        ["--patience", "0"],
    ],
)
def test_evaluate_and_resume_refuse_what_they_ignore(extra, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(capsys, "--evaluate", "x.safetensors", *extra)
    assert f"{extra[0]} has no effect with" in said or "--evaluate has no effect with" in said
    if extra[0] not in ("--resume", "--epochs"):
        assert f"{extra[0]} has no effect with --resume" in refusal(capsys, "--resume", "r", *extra)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_data_beside_a_run_on_the_digits(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--out", str(out)) == 0
    for job in (["--resume", str(out)], ["--evaluate", str(out / "last.safetensors")]):
        assert "has no effect with the digits" in refusal(capsys, *job, "--data", str(tmp_path))


def test_what_a_run_is_too_short_for_is_said(tmp_path, capsys) -> None:
    arguments = [*QUICK, "--scheduler", "step", "--step-size", "5000", "--patience", "9"]
    assert call(*arguments, "--out", str(tmp_path / "run")) == 0
    printed = capsys.readouterr().out
    assert "without effect: --step-size 5000: the run has only 158 steps" in printed
    assert "without effect: --patience 9: the run has only 2 epochs" in printed
    late = Config(scheduler="multistep", milestones=(5, 50, 500))
    assert remarks(late, 50) == ["without effect: --milestones 50 500: the run has only 50 steps"]
    assert remarks(Config(), 1) == []


@pytest.mark.parametrize("threads", ["99999999999999999999", "-1", "0"])
def test_threads_beyond_reason(threads, capsys) -> None:
    assert f"got {threads}" in refusal(capsys, "--threads", threads, "--list")


@pytest.fixture
def help_text(capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "400")
    assert call("--help") == 0
    return capsys.readouterr().out


def test_the_help_shows_every_flag_in_its_group_with_its_default(help_text) -> None:
    shown, title = {}, ""
    for line in re.sub("\n {9,}", " ", help_text).splitlines():  # continued lines
        title = line[:-1] if line.endswith(":") else title
        if found := re.match(r"  (--[a-z-]+)", line):
            shown[found[1]] = (title, line)
    fields = list(declared(Config, Job))
    assert {spelt(field.name) for field in fields} == set(shown)
    assert {title for title, _ in shown.values()} == set(GROUPS)
    for field in fields:
        title, line = shown[spelt(field.name)]
        assert title == field.flag.group
        assert field.flag.help in line
        if field.default not in (None, (), "") and field.kind is not bool:
            default = field.default if field.many else (field.default,)
            assert f"default: {' '.join(map(str, default))})" in line
    defaults = "(default: 600 for mlp, 128 for cnn, 128 for cnn3, 128 for lstm, 128 for gpt)"
    assert defaults in shown["--hidden"][1]
    assert "{sgd,momentgd,adam}" in shown["--optimizer"][1]
    assert "(needs --scheduler step or multistep or exponential;" in shown["--gamma"][1]
    assert "(needs --patience;" in shown["--min-delta"][1]


def test_the_examples_of_the_help_run(help_text, monkeypatch) -> None:
    runs: list[Config] = []
    monkeypatch.setattr(run, "train", lambda config, *_: runs.append(config) or 0)
    examples = re.findall("^  python train.py (.*)$", help_text, re.MULTILINE)
    assert all(call(*shlex.split(example)) == 0 for example in examples)
    assert len(runs) == 3


def test_a_flag_that_was_not_given_is_unset() -> None:
    assert train.parse([]) == {}
    given = ["--lr", "0.01", "--hidden", "3", "4", "--list", "--out", "x"]
    assert train.parse(given).keys() == {"lr", "hidden", "list", "out"}
    assert train.parse(given)["hidden"] == (3, 4)


@pytest.mark.parametrize("name", [field.name for field in declared(Config) if field.flag.by[0]])
def test_a_default_for_every_value_of_the_field_it_hangs_on(name) -> None:
    fields = {field.name: field for field in declared(Config)}
    chooser, defaults = fields[name].flag.by
    (rule,) = fields[chooser].rules
    for choice in rule.choices:
        assert getattr(Config(**{chooser: choice}), name) == defaults[choice]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "try a smaller --lr (a tenth) or less --momentum"),
        ({"optimizer": "adam", "lr": 1.0}, "try a smaller --lr (a tenth)"),
        ({"optimizer": "sgd"}, "try a smaller --lr (a tenth)"),
        ({"optimizer": "sgd", "momentum": 0.5}, "try a smaller --lr (a tenth) or less --momentum"),
        (
            {"mu_decay": 2.0},
            "try a smaller --lr (a tenth), less --momentum or --mu-decay of at most 1",
        ),
        (
            {"lr_decay": 3.0, "momentum": 0.0, "init_scale": 2.0},
            "try a smaller --lr (a tenth), --lr-decay of at most 1 or --init-scale 1",
        ),
        (
            {"optimizer": "adam", "scheduler": "exponential", "gamma": 2.0},
            "try a smaller --lr (a tenth) or --gamma of at most 1",
        ),
        (
            {"optimizer": "adam", "scheduler": "cosine", "gamma": 2.0},
            "try a smaller --lr (a tenth)",
        ),
    ],
)
def test_only_flags_that_a_run_has_are_named_to_help_it(fields, said) -> None:
    assert ways_out(Config(**fields)) == said
    assert ways_out(Config(**fields, dtype="float64"), overflow=True) == said
    assert "--dtype float64" in ways_out(Config(**fields), overflow=True)


@pytest.mark.parametrize(
    ("lr", "said"),
    [("1e300", "at step "), ("100", "the run diverged: ")],
    ids=["not finite", "diverged"],
)
def test_a_run_with_adam_that_diverges_is_told_of_lr(lr, said, tmp_path, capsys) -> None:
    arguments = [*QUICK, "--optimizer", "adam", "--lr", lr, "--dtype", "float64"]
    message = refusal(capsys, *arguments, "--out", str(tmp_path / "run"), code=1)
    assert said in message
    assert re.findall("--[a-z-]+", message) == ["--lr"]
