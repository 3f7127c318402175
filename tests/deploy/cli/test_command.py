"""The one command as a new user meets it: mistakes are put right, and help costs nothing."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from deploy.cli import app
from deploy.cli.app import ENTRIES, MEANT, SECTIONS, Entry, magnet, main

PROJECT = Path(__file__).parents[3]
HEAVY = {"torch", "polars", "scipy", "sklearn", "onnx", "onnxruntime", "fastapi", "redis"}


def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_help_lists_every_command_in_its_section() -> None:
    done = typed("--help")
    assert done.returncode == 0
    rest = done.stdout
    for title, entries in SECTIONS.items():
        _, heading, rest = rest.partition(f"{title}:\n")
        assert heading
        listed = [line.split()[0] for line in rest.split("\n\n")[0].splitlines() if line[2] != " "]
        assert listed == [entry.name for entry in entries]


def test_nothing_typed_shows_what_there_is_to_type() -> None:
    done = typed()
    assert done.returncode == 2
    assert done.stderr == typed("--help").stdout


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("magnet 0.")


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: magnet {name} ")
    command = magnet.get_command(click.Context(magnet), name)
    assert command is not None
    assert command.help
    assert isinstance(command, click.Group) or command.name == name


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fitt"],
        ["recommend", "u1", "--url", "http://127.0.0.1:9"],
        ["completion", "fish"],
        ["keys", "--help"],
        ["serve", "--help"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_nothing_heavy_is_loaded_that_is_not_needed(arguments: list[str]) -> None:
    assert loaded_by(arguments) == set()


def test_models_loads_what_speaks_to_redis_alone() -> None:
    assert loaded_by(["models", "--help"]) == {"redis"}


def loaded_by(arguments: list[str]) -> set[str]:
    """What is heavy and was loaded by a command."""
    code = f"import sys\nfrom deploy.cli.app import main\nmain({arguments!r})\n"
    code += f"sys.stderr.write('\\n' + ' '.join({HEAVY!r} & sys.modules.keys()) + '\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("recomend", "`recommend`"),
        ("train", "`fit`"),
        ("trian", "`fit`"),
        ("role-back", "`rollback`"),
        ("schedules", "`schedule`"),
        ("ablations", "`benchmark`"),
    ],
)
def test_a_word_that_is_no_command(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: there is no command `{word}`: did you mean ")
    assert meant in said


def test_a_word_that_is_like_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzz"]) == 2
    assert capsys.readouterr().err == "error: there is no command `zzz`: --help lists them\n"


def test_words_of_other_tools_stand_for_commands() -> None:
    assert set(MEANT.values()) <= set(ENTRIES)
    assert not set(MEANT) & set(ENTRIES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "--data", "x"], "Missing option '--out' (see magnet fit --help)"),
        (["keys", "lst"], "Did you mean 'list'? (see magnet keys --help)"),
        (["retrain", "--stat", "x"], "'--state'"),
        (["keys", "new", "--name", "x", "--scope", "all"], "'all' is not one of 'read'"),
        (["canary", "v1", "--stop", "--redis-url", "redis://x"], "not several of them"),
        (["import", "x", "--guess", "--mapping", "y"], "--mapping and --guess"),
    ],
)
def test_a_mistake_behind_a_command(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line


def test_a_library_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = Entry("guess", "guess", "no_such_library.guessing:guess", "training,local")
    monkeypatch.setitem(app.ENTRIES, "guess", entry)
    assert main(["guess"]) == 1
    said = capsys.readouterr().err
    assert "`guess` needs no_such_library, which is not installed" in said
    assert "pip install 'magnet-recommender[training,local]'" in said


@pytest.mark.shows_a_secret
def test_keys_are_made_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--file", str(tmp_path / "keys.txt")]
    assert main(["keys", "new", "--name", "shop", "--scope", "read", *file]) == 0
    assert main(["keys", "list", *file]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "shop\tread"
    assert main(["keys", "remove", "--name", "nobody", *file]) == 1
    assert "has no key named 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["file/x", "folder"])
def test_what_cannot_be_written_is_one_line(
    out: str, artifact_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert main(["report", str(artifact_dir), "--out", str(tmp_path / out)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert str(tmp_path / out.partition("/")[0]) in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_answer_that_finds_no_room_is_one_line() -> None:
    command = [sys.executable, "-m", "deploy.cli", "completion", "bash"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device: output\n"
