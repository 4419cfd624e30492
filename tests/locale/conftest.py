"""A language made for the tests, in which every text of the interface can be told from the rest."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages import Catalog, mofile

from avalan import locale

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def translations() -> Iterator[ModuleType]:
    """scripts/translations.py."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import translations

    yield translations
    sys.path.pop(0)


@pytest.fixture(scope="session")
def bracketed_folder(translations: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue `eo` that puts every text of the interface into brackets, but not its values."""
    folder = tmp_path_factory.mktemp("locale")
    catalogue = Catalog(locale="eo")
    for message in translations.extracted():
        if isinstance(message.id, tuple):
            catalogue.add(message.id, tuple(map(in_brackets, message.id)))
        elif message.id:
            catalogue.add(message.id, in_brackets(message.id))
    path = folder / "eo" / "LC_MESSAGES" / "avalan.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        mofile.write_mo(file, catalogue)
    return folder


def in_brackets(text: str) -> str:
    values = re.compile(r"(?<!\{)\{[^{}]+\}(?!\})|%(\(\w+\))?[sdr]")
    return f"⟦{values.sub(lambda value: f'⟧{value[0]}⟦', text)}⟧"


@pytest.fixture
def bracketed(bracketed_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`--locale eo` works, and afterwards the interface speaks English again."""
    monkeypatch.setattr(locale, "_FOLDERS", (bracketed_folder,))
    yield
    locale.use(locale.SOURCE)
