"""The interface's language: chosen by option or environment, from catalogues that are whole."""

import errno
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from avalan import locale
from avalan.cli import main
from avalan.errors import reason_of
from avalan.locale import _, ngettext, number

CAPFD = pytest.CaptureFixture[str]
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _english_afterwards() -> Iterator[None]:
    yield
    locale.use(locale.SOURCE)


# --- choosing ------------------------------------------------------------------------------------


def test_values_stand_where_the_text_names_them() -> None:
    assert _("{b} then {a!r}", a="x", b=2) == "2 then 'x'"
    assert _("a brace { is kept where no value is given") == (
        "a brace { is kept where no value is given"
    )
    assert ngettext("{n} file", "{n:,} files of {whole}", 1200, whole=7) == "1,200 files of 7"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "Try:"),
        ({"LANG": "eo_XX.UTF-8"}, "⟦Try:⟧"),
        ({"LANG": "eo", "LC_ALL": "C"}, "Try:"),
        ({"LANG": "xx", "LANGUAGE": "xx:eo"}, "⟦Try:⟧"),
        ({"LANGUAGE": "en:eo"}, "Try:"),
        ({"LC_MESSAGES": "xx_YY"}, "Try:"),
        ({"LANGUAGE": "eo", "LC_ALL": "C"}, "Try:"),
        ({"LANGUAGE": "eo", "LANG": "C.UTF-8"}, "⟦Try:⟧"),
        ({"LANGUAGE": "eo"}, "⟦Try:⟧"),
    ],
)
@pytest.mark.usefixtures("bracketed")
def test_the_environment_chooses_as_for_other_programs(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    locale.use(None)
    assert _("Try:") == expected


@pytest.mark.usefixtures("bracketed")
def test_a_language_that_is_asked_for_must_be_there(capfd: CAPFD) -> None:
    assert main(["cache", "list", "--locale", "xx"]) == 2
    assert "no translation into 'xx'; choose one of: en, eo." in capfd.readouterr().err


@pytest.mark.parametrize("words", [["--locale", "eo", "cache", "list"], ["cache", "--locale=eo"]])
@pytest.mark.usefixtures("bracketed")
def test_the_option_works_anywhere_and_ends_with_the_command(
    words: list[str], capfd: CAPFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGUAGE", "en")
    assert main([*words, "--help"]) == 0
    assert capfd.readouterr().out.startswith("⟦Usage:⟧ avalan cache")
    assert main(["cache", "--help"]) == 0
    assert capfd.readouterr().out.startswith("Usage: avalan cache")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["agent", "run"], "⟦needed: ⟧⟦FILE⟧"),
        (["agent", "run", "x", "--set"], "⟦expected one argument⟧"),
    ],
)
@pytest.mark.usefixtures("bracketed")
def test_argparse_speaks_the_language_too(words: list[str], expected: str, capfd: CAPFD) -> None:
    assert main([*words, "--locale", "eo"]) == 2
    assert expected in capfd.readouterr().err


# --- numbers and reasons -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "form", "english", "spanish"),
    [
        (4096, ",", "4,096", "4096"),
        (-12345, ",", "-12,345", "-12\u202f345"),
        (1234567, ",", "1,234,567", "1\u202f234\u202f567"),
        (9999.96, ",.1f", "10,000.0", "10\u202f000.0"),
        (0.5, ",", "0.5", "0.5"),
    ],
)
def test_numbers_are_grouped_as_the_language_groups_them(
    value: float, form: str, english: str, spanish: str
) -> None:
    text = f"{{value:{form}}}"
    assert (number(value, form), _(text, value=value)) == (english, english)
    assert ngettext(text, text, 2, value=value) == english
    locale.use("es")
    assert (number(value, form), _(text, value=value)) == (spanish, spanish)
    assert ngettext(text, text, 2, value=value) == spanish


@pytest.mark.usefixtures("bracketed")
def test_a_language_that_does_not_say_how_groups_as_the_source_does() -> None:
    locale.use("eo")
    assert (number(4096), number(12345)) == ("4,096", "12,345")


@pytest.mark.parametrize(
    "name", ["ENOENT", "EACCES", "EEXIST", "EISDIR", "ENOTDIR", "ENOSPC", "ECONNREFUSED"]
)
@pytest.mark.usefixtures("bracketed")
def test_the_usual_refusals_of_this_system_are_translated(name: str) -> None:
    code = getattr(errno, name)
    words = os.strerror(code)
    locale.use("eo")
    assert reason_of(OSError(code, words, "a file")) == f"⟦{words}⟧"
    assert reason_of(ValueError(f"[Errno {code}] {words}")) == f"⟦{words}⟧"


def test_what_no_catalogue_knows_is_said_in_its_own_words() -> None:
    locale.use("es")
    assert reason_of(ValueError("Odd number of beds.\nand more")) == "Odd number of beds"
    assert reason_of(OSError(99999, "Unheard of", "a file")) == "Unheard of"
    assert reason_of(TimeoutError()) == "TimeoutError"


# --- the catalogues ------------------------------------------------------------------------------


def test_the_template_has_every_text(translations: ModuleType) -> None:
    """`make translations` was run after the last change of a text."""
    assert translations.elsewhere() == translations.ELSEWHERE.read_text(encoding="utf-8")
    written = {message.id for message in translations.read(REPOSITORY / "locale" / "avalan.pot")}
    assert written == {message.id for message in translations.extracted()}


def fields(text: str) -> set[str]:
    """The values that a text names, brace or percent, with their formats."""
    named = {
        (name, conversion, form)
        for _before, name, form, conversion in string.Formatter().parse(text)
        if name
    }
    return {str(each) for each in named} | set(re.findall(r"%(?:\(\w+\))?[sdr]", text))


def ending(text: str) -> str:
    """The punctuation at the end of a text."""
    return text[-1] if text[-1] in ".:;?!…" else ""


@pytest.mark.parametrize("language", ["es"])
def test_a_translation_is_whole(language: str, translations: ModuleType) -> None:
    """Every text is translated, none is doubtful, and each names the values of its source."""
    catalogue = translations.read(REPOSITORY / "locale" / language / "LC_MESSAGES" / "avalan.po")
    assert {message.id for message in translations.extracted()} == {
        message.id for message in catalogue
    }
    for message in catalogue:
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(texts), f"not translated: {ids[0]!r}"
        assert not message.fuzzy, f"doubtful: {ids[0]!r}"
        for text in texts:
            assert fields(text) == fields(ids[-1]), ids[0]
            assert ending(text) == ending(ids[0]), ids[0]


def test_what_is_compiled_is_what_was_translated(translations: ModuleType, tmp_path: Path) -> None:
    """This installation speaks Spanish as the sources have it."""
    path = REPOSITORY / "locale" / "es" / "LC_MESSAGES" / "avalan.po"
    copy = tmp_path / "es" / "LC_MESSAGES" / "avalan.po"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    assert translations.compile_catalogue(copy).read_bytes() == (
        path.with_suffix(".mo").read_bytes()
    ), "run: make translations"


def test_the_script_speaks_spanish() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "avalan", "--locale", "es", "cache", "list", "--nonsense"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("avalan cache list no tiene")
