"""The interface's language: English, unless `use` chose another.

A text for people stands in `_()` where it is made, and its values are named in it:

    _("{path!r} is read again.", path=path)

Errors of `avalan.errors` take a text and its values themselves. A text that is only listed, in a
table that is read before the language is known, stands in `_n()`; whoever shows it translates it.
What depends on a count goes through `ngettext`. Flags, keys of JSON, commands to copy and
everything that models or documents say is never translated.

The catalogues are compiled from the repository's locale/ by the build (scripts/translations.py).
"""

import gettext
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Formatter
from typing import Any

DOMAIN = "avalan"
SOURCE = "en"
"""The language of the sources, which needs no catalogue."""

# In an installed package; in a checkout.
_FOLDERS = (Path(__file__).parent, Path(__file__).parents[3] / "locale")
_ENVIRONMENT = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_chosen: tuple[str, str] | None = None
"""The language and its folder, where it is not the source's."""


def _(message: str, /, **values: object) -> str:
    """`message` in the chosen language, with `values` in the place of their names."""
    text = message and _catalogue.gettext(message)  # The empty message is a catalogue's header.
    return _FORMS.format(text, **values) if values else text


def _n(message: str, /) -> str:
    """`message` as it is, marked for the catalogues; `_` translates it when it is shown."""
    return message


def ngettext(one: str, many: str, n: int, /, **values: object) -> str:
    """`one` or `many`, as the chosen language counts `n`, which the text may name."""
    return _FORMS.format(_catalogue.ngettext(one, many, n), n=n, **values)


def number(value: float, form: str = ",") -> str:
    """`value` in the format `form`, where a comma asks for the chosen language's mark."""
    text = format(value, form)
    whole = text.lstrip("-").partition(".")[0]
    # Translators: whether and how the digits of numbers of four digits are grouped.
    short = _("1,000")
    # Translators: how those of longer numbers are, as 10.000 or 10 000.
    long = _("10,000")
    mark = re.search(r"10?(\D*)000", short if len(whole) == len("1,000") else long)
    return text.replace(",", mark[1] if mark else ",")


class _Forms(Formatter):
    """As `str.format`, but for the marks in numbers."""

    def format_field(self, value: Any, form: str) -> str:
        return number(value, form) if "," in form else format(value, form)


_FORMS = _Forms()


def languages() -> list[str]:
    """The languages there are, the source's own first."""
    found = {path.parts[-3] for folder in _FOLDERS for path in folder.glob(f"*/*/{DOMAIN}.mo")}
    return [SOURCE, *sorted(found)]


def use(language: str | None) -> None:
    """Speak `language`, as `es`, `es-AR` or `es_AR.UTF-8`; None is what the environment asks for.

    Raises:
        LookupError: there is no such translation. What the environment asks for is a wish.
    """
    if language == "" or ":" in (language or ""):
        raise LookupError(language)  # A list is the environment's to give.
    wanted = _wishes() if language is None else [language.replace("-", "_")]
    for each in wanted:
        if each.partition("_")[0] in (SOURCE, "C", "POSIX"):
            return _speak(SOURCE, None)
        for folder in _FOLDERS:
            if gettext.find(DOMAIN, folder, [each]):
                return _speak(each, folder)
    if language:
        raise LookupError(language)
    return _speak(SOURCE, None)


def _speak(language: str, folder: Path | None) -> None:
    global _catalogue, _chosen
    _catalogue = gettext.translation(DOMAIN, folder, [language], fallback=True)
    _chosen = None if folder is None else (language, str(folder))


@contextmanager
def for_libraries() -> Iterator[None]:
    """Inside, libraries that ask gettext themselves (argparse) speak the chosen language too."""
    if _chosen is None:
        yield
        return
    language, folder = _chosen
    domain, before = gettext.textdomain(), os.environ.get("LANGUAGE")
    gettext.bindtextdomain(DOMAIN, folder)
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = language
    try:
        yield
    finally:
        gettext.textdomain(domain)
        del os.environ["LANGUAGE"]
        if before is not None:
            os.environ["LANGUAGE"] = before


def _wishes() -> list[str]:
    """As GNU gettext reads the environment: the first variable that is set, a list; none in the
    locale C."""
    place = next((value for name in _ENVIRONMENT[1:] if (value := os.environ.get(name))), "")
    if place in ("C", "POSIX"):
        return []
    found = next((value for name in _ENVIRONMENT if (value := os.environ.get(name))), "")
    return [each.partition(".")[0] for each in found.split(":") if each]
