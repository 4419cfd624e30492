"""Questions beside strange pages: no kin, and the same in every process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from avalan.data.pairs import shown, strangers
from avalan.data.textbook import Inquiry, Page, Textbook

TEXTS = {
    "tea": "Green tea brews for two minutes.",
    "newer": "Green tea brews for three minutes.",
    "newest": "Green tea brews for four minutes.",
    "cups": "Cups for green tea hold two minutes of patience.",
    "boat": "The boat leaves at nine.",
}
VERSIONS = {"newer": "tea", "newest": "newer"}
PAGES = tuple(
    Page(
        id=name, title="", register="note", split="train", text=text, version_of=VERSIONS.get(name)
    )
    for name, text in TEXTS.items()
)
ASKED = Inquiry(
    id="q", passage="newer", split="train", question="How many minutes does green tea brew?",
    answers=("three",), kind="number",
)  # fmt: skip
BOOK = Textbook(pages=PAGES, inquiries=(ASKED,), claims=(), prompts=())


def near(book: Textbook, most: int = 9) -> list[str]:
    return [page.id for page in strangers(book, most)["q"]]


def test_versions_of_a_page_are_no_strangers() -> None:
    assert near(BOOK) == ["cups", "boat"]
    assert near(BOOK, 1) == ["cups"]


def test_a_page_that_answers_too_is_no_stranger() -> None:
    both = replace(ASKED, elsewhere=(("cups", "two minutes"),))
    assert near(replace(BOOK, inquiries=(both,))) == ["boat"]


def test_a_page_is_shown_below_its_title() -> None:
    assert shown(PAGES[-1]) == TEXTS["boat"]
    assert shown(replace(PAGES[-1], title="Boats")) == "Boats\n\n" + TEXTS["boat"]


def test_strangers_are_the_same_in_every_process() -> None:
    program = (
        "from pathlib import Path; from avalan.data import pairs, textbook;"
        "book = textbook.read(Path('data/textbook')).part('validation');"
        "print([[p.id for p in pages] for pages in pairs.strangers(book, 3).values()])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(said) == 1
    assert len(said.pop()) > 10_000


def test_versions_in_a_circle_come_to_an_end() -> None:
    first, *others = PAGES
    circle = (replace(first, version_of="newest"), *others)
    assert "boat" in near(replace(BOOK, pages=circle))
