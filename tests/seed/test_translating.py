"""The README's blocks for translators, with GNU gettext."""

import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog, pofile

PROGRAMS = ("xgettext", "msginit", "msgmerge", "msgfmt")
CATALOGUE = "locale/es/LC_MESSAGES/avalan.po"
KEYWORD = "Run a model on a prompt"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason="GNU gettext is not installed"
)


@pytest.fixture
def translator(checkout: Any) -> Any:
    """A copy of the repository that nobody has translated; `msginit` asks no site for addresses."""
    shutil.rmtree(checkout.folder / "locale")
    (checkout.folder / "locale").mkdir()
    for name in ("http_proxy", "https_proxy"):
        checkout.environment[name] = "http://127.0.0.1:9"
    checkout.environment["PYTHONPATH"] = str(checkout.folder / "src")
    return checkout


def messages(path: Path) -> dict[str, str]:
    """Every text, in the singular, and its translation."""
    return {first(each.id): first(each.string) for each in catalogue(path) if each.id}


def catalogue(path: Path) -> Catalog:
    plural = b"nplurals=INTEGER; plural=EXPRESSION"  # As xgettext leaves it in a template.
    return pofile.read_po(BytesIO(path.read_bytes().replace(plural, b"nplurals=2; plural=n != 1")))


def first(text: str | tuple[str, ...]) -> str:
    return text if isinstance(text, str) else text[0]


def test_gettext_finds_every_text_that_the_template_has(translator: Any) -> None:
    """`make translations`, which needs no GNU tool, reads the same marks."""
    template = translator.folder / "locale" / "avalan.pot"
    translator.run("python scripts/translations.py")
    wanted = messages(template)
    template.unlink()

    translator.paste("xgettext")
    assert messages(template) == wanted
    assert KEYWORD in wanted


def test_a_new_language_is_made_filled_in_compiled_and_spoken(translator: Any) -> None:
    translator.paste("xgettext")
    translator.paste("locale-folder")
    translator.paste("msginit")
    translate(translator.folder / CATALOGUE, KEYWORD, "Ejecutar un modelo")
    translator.paste("msgfmt")

    spoken = translator.run("python -m avalan --locale es model --help")
    assert "Ejecutar un modelo" in spoken
    assert KEYWORD not in spoken
    assert KEYWORD in translator.run("python -m avalan model --help")


def test_a_new_text_reaches_a_translation_and_the_others_stay(translator: Any) -> None:
    for block in ("xgettext", "locale-folder", "msginit"):
        translator.paste(block)
    path = translator.folder / CATALOGUE
    translate(path, KEYWORD, "Ejecutar un modelo")

    added = translator.folder / "src" / "avalan" / "added.py"
    added.write_text('_("A text nobody has seen.")\n_n("Another.")\n')
    translator.paste("xgettext")
    translator.paste("msgmerge")

    wanted = {KEYWORD: "Ejecutar un modelo", "A text nobody has seen.": "", "Another.": ""}
    assert wanted.items() <= messages(path).items()
    translator.run("python scripts/translations.py")  # It reads what GNU gettext wrote.
    assert wanted.items() <= messages(path).items()


def translate(path: Path, text: str, translation: str) -> None:
    """Fill one `msgstr` in, as in an editor."""
    before = path.read_text(encoding="utf-8")
    pattern = rf'(msgid "{re.escape(text)}"\n)msgstr ""'
    after, times = re.subn(pattern, rf'\1msgstr "{translation}"', before)
    assert times == 1
    path.write_text(after, encoding="utf-8")
