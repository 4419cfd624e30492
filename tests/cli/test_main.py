"""The command line as a whole: words, options in every place, errors, exit codes."""

import errno
import json
import resource
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from avalan import __version__, cli
from avalan.cli import main
from avalan.cli.parser import GLOBAL_FLAGS, GLOBAL_VALUES, Parser
from avalan.cli.tree import Group, walk

HEAVY = {"torch", "transformers", "onnxruntime", "rich", "pydantic", "httpx", "numpy", "fastapi"}


def avalan(*words: str, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "avalan", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def parsed(words: list[str]) -> Namespace:
    place, rest = walk(cli.ROOT, words)
    assert isinstance(place, Parser)
    place.add_global_options()
    return place.parse(rest)


SWITCHES = [flag for flag in GLOBAL_FLAGS if flag not in ("--help", "--version")]
GIVEN = [[switch] for switch in SWITCHES] + [
    form for option in GLOBAL_VALUES for form in ([option, "value"], [f"{option}=value"])
]


@pytest.mark.parametrize("given", GIVEN, ids=" ".join)
@pytest.mark.parametrize("position", range(5))
def test_every_global_option_works_in_every_place(given: list[str], position: int) -> None:
    words = ["model", "run", "bundled", "a prompt"]

    args = parsed([*words[:position], *given, *words[position:]])

    name = given[0].partition("=")[0].removeprefix("--").replace("-", "_")
    assert getattr(args, name) == (True if given[0] in SWITCHES else "value")
    assert (args.model, args.prompt) == ("bundled", "a prompt")


def test_the_last_of_two_values_wins() -> None:
    args = parsed(["--device", "cpu", "model", "--device=cuda", "run", "--device", "mps"])
    assert args.device == "mps"


def test_options_left_out_are_off() -> None:
    args = parsed(["model", "run"])
    assert (args.json, args.quiet, args.verbose) == (False, False, False)
    assert args.locale is args.cache_dir is args.device is None


def test_options_and_arguments_mix_in_any_order() -> None:
    args = parsed(["model", "run", "--seed", "1", "bundled", "--top-k=2", "a prompt", "--quiet"])
    assert (args.model, args.prompt, args.seed, args.top_k) == ("bundled", "a prompt", 1, 2)


def test_underscores_in_an_options_name_are_dashes() -> None:
    args = parsed(["model", "run", "--stop_on_keyword", "a_b", "--stop-on-keyword=c_d"])
    assert args.stop_strings == ["a_b", "c_d"]


def test_a_value_may_begin_with_a_dash() -> None:
    args = parsed(["model", "run", "--system", "-terse", "--temperature", "-1"])
    assert (args.system, args.temperature) == ("-terse", -1.0)


def test_a_value_after_an_equals_sign_may_have_spaces() -> None:
    args = parsed(["model", "run", "--system=You are Leo.", "--stop_on_keyword=a = b", "x"])
    assert (args.system, args.stop_strings) == ("You are Leo.", ["a = b"])


def test_after_two_dashes_everything_is_text() -> None:
    args = parsed(["model", "run", "bundled", "--", "--json"])
    assert (args.prompt, args.json) == ("--json", False)


@pytest.mark.parametrize("prompt", ["-5 + 3 = ?", "- a list", "-", "-1"])
def test_a_text_that_begins_with_a_dash_is_a_text(prompt: str) -> None:
    assert parsed(["model", "run", "bundled", prompt]).prompt == prompt


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["modle"], "has no command 'modle' (did you mean 'model'?)"),
        (["model", "rum"], "avalan model has no command 'rum' (did you mean 'run'?)"),
        (["What is a file?"], "a question is asked with: avalan ask"),
        (["model"], "avalan model needs one of: run, display"),
        (["model", "run", "--temprature", "1"], "no option '--temprature' (did you mean '--temper"),
        (["--jsn"], "avalan has no option '--jsn' (did you mean '--json'?)"),
        (["model", "--jsn", "run"], "avalan model has no option '--jsn'"),
        (["model", "run", "--seed", "x"], "--seed: 'x' is not a whole number"),
        (["model", "run", "--top-p", "x"], "--top-p: 'x' is not a number"),
        (["model", "run", "--seed"], "--seed: it needs one argument"),
        (["model", "run", "--system", "--quiet"], "--system: it needs one argument"),
        (["model", "run", "a", "b", "c"], "no place for 'c'"),
        (["model", "run", "x", "--locale", "tlh"], "no translation into 'tlh'"),
        (["model", "run", "bundled", " "], "The prompt is empty"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_an_error_is_a_json_object_on_stderr_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "rum", "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "rum" in json.loads(err)["error"]


def test_verbose_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    main(["model", "rum", "--verbose"])
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert main([]) == 130


@pytest.mark.parametrize(
    "words", [["--version"], ["model", "--version"], ["model", "run", "--version"]]
)
def test_the_version_is_told_anywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out == f"avalan {__version__}\n"
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("position", range(3))
def test_help_is_about_the_command_wherever_it_is_asked(
    flag: str, position: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "run"]
    assert main([*words[:position], flag, *words[position:]]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: avalan model run [MODEL] [PROMPT] [OPTIONS]\n")


def test_help_of_the_whole_names_every_command_and_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for word in (*cli.COMMANDS, *GLOBAL_FLAGS, *GLOBAL_VALUES, *cli.EXAMPLES):
        assert word in out
    assert max(map(len, out.splitlines())) < 88


def test_a_reader_that_leaves_early_is_no_error() -> None:
    script = f'set -o pipefail; "{sys.executable}" -m avalan --help | head -1'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Usage: avalan COMMAND [OPTIONS]\n"


def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "avalan", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"The output cannot be written (No space left on device)")
    assert done.stderr.count(b"\n") == 1


def test_only_the_named_command_is_imported() -> None:
    script = (
        "import sys; from avalan.cli import main; main(['model', 'run', '--help']); "
        "print(*sorted(m for m in sys.modules if m.startswith('avalan.')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    commands = {m for m in done.stderr.split() if m.startswith("avalan.cli.commands.")}
    assert commands == {"avalan.cli.commands.model", "avalan.cli.commands.model_run"}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["model", "run", "--help"]])
def test_help_imports_no_heavy_library(words: list[str]) -> None:
    script = (
        f"import sys; from avalan.cli import main; main({words!r}); "
        "print(*{m.partition('.')[0] for m in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stderr.split())


def test_help_costs_no_more_processor_time_than_two_modules_of_python() -> None:
    """0.10 s where these two take as long; processors differ by more than commands do."""

    def cost(*words: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [
        (cost("-m", "avalan", "--help"), cost("-c", "import asyncio, http.client"))
        for _ in range(5)
    ]
    ours, pythons = map(min, zip(*pairs, strict=True))
    assert ours < 1.3 * pythons


def test_every_command_in_the_tables_can_be_imported_and_configured() -> None:
    def visit(place: Group | Parser) -> None:
        if isinstance(place, Parser):
            assert "Usage: " in place.format_help()
            return
        for word in place.commands:
            visit(place.choose(word))

    visit(cli.ROOT)


def test_an_unknown_exception_is_a_bug_and_shows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(words: list[str]) -> int:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "_dispatch", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main([])


def test_a_file_that_the_system_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(words: list[str]) -> int:
        raise FileExistsError(errno.EEXIST, "File exists", "notes.txt")

    monkeypatch.setattr(cli, "_dispatch", refused)
    assert main([]) == 1
    err = capsys.readouterr().err
    assert err.startswith("The system refused 'notes.txt' (File exists); check the path")


def test_a_home_folder_that_nobody_knows_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVALAN_HOME", "~nobody-of-this-name/avalan")
    assert main(["index", "list"]) == 1
    assert capsys.readouterr().err.startswith("Your home folder is not known")


def test_a_folder_that_was_deleted_under_our_feet_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Beds are watered at six.")
    (tmp_path / "gone").mkdir()
    words = f'ask "When are beds watered?" --model rules --docs "{tmp_path}/notes.txt"'
    script = f'cd "{tmp_path}/gone"; rmdir ../gone; "{sys.executable}" -m avalan {words}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("The current folder does not exist any more")


@pytest.mark.parametrize("device", ["", "toaster", "cpu:", "cuda:-1"])
def test_a_device_that_no_machine_has_is_wrong_usage(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["index", "list", f"--device={device}"]) == 2
    assert f"no device called {device!r}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["ask", "--help"], ["model", "train", "-h"]])
@pytest.mark.parametrize("width", [1, 20, 30, 50, 79])
def test_help_breaks_no_word_and_fits(
    words: list[str],
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(words) == 0
    whole = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert sorted(shown.split()) == sorted(whole.split())
    for line in shown.partition("\nTry:\n")[0].splitlines():
        assert len(line) <= max(width, 20) or len(line.split()) == 1


def test_an_english_locale_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--locale", "en_GB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__


def test_an_import_that_ctrl_c_broke_counts_as_interrupted() -> None:
    failed = ImportError("initialization failed")
    failed.__cause__ = KeyboardInterrupt()
    assert cli.interrupted(failed)
    assert not cli.interrupted(ImportError("no such library"))
