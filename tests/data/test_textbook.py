"""The textbook: whole, and whatever could be wrong with it would be found."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from avalan.data import textbook
from avalan.data.textbook import Claim, Inquiry, Page, Prompt, Textbook
from avalan.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "data" / "textbook"


@pytest.fixture(scope="module")
def book() -> Textbook:
    return textbook.read(FOLDER)


def checked(name: str) -> subprocess.CompletedProcess[str]:
    script = [
        sys.executable,
        str(ROOT / "scripts" / "check_textbook.py"),
        str(ROOT / "data" / name),
    ]
    return subprocess.run(script, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["textbook", "second-test"])
def test_nothing_is_wrong_with_it_and_it_was_labelled_twice_as_its_card_says(name: str) -> None:
    found = checked(name)
    assert found.stdout.endswith("\n0 problems\n"), found.stdout + found.stderr
    assert found.returncode == 0
    table = re.findall(r"^  (answered|support|need) .*: (\d+), (.+), (.+)$", found.stdout, re.M)
    assert len(table) == (3 if name == "textbook" else 0)
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for _kind, num, same, kappa in table:
        assert f"| {int(num):,} | {same.removeprefix('0')} | {kappa.removeprefix('0')} |" in card


def test_a_tenth_of_it_was_labelled_twice(book: Textbook) -> None:
    said = {row["id"] for row in labelled_again()}
    asked = [each for each in book.inquiries if each.id in said]
    pages = {each.passage for each in asked}
    assert len(pages) >= len(book.pages) // 10
    assert asked == [each for each in book.inquiries if each.passage in pages]
    assert sum(each.id in said for each in book.prompts) * 10 >= len(book.prompts)


def labelled_again() -> list[dict[str, str | None]]:
    text = (FOLDER / "again" / "labels.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_there_is_as_much_as_its_card_says(book: Textbook) -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    counts = {
        "pages": len(book.pages),
        "questions": len(book.inquiries),
        "claims": len(book.claims),
        "prompts": len(book.prompts),
    }
    for name, count in counts.items():
        assert f"{count:,} {name}" in " ".join(card.split())
    for split in ("train", "validation", "test"):
        part = book.part(split)
        cells = f"{len(part.pages):,} | {len(part.inquiries):,} | {len(part.claims):,} |"
        assert f"| {split} | {cells} {len(part.prompts):,} |" in card
        assert {each.support for each in part.claims} == {"full", "partial", "contradicted", "none"}
        assert {prompt.need for prompt in part.prompts} == {"retrieve", "none"}


def test_the_second_test_is_for_testing_alone_and_as_large_as_its_card_says() -> None:
    folder = ROOT / "data" / "second-test"
    book = textbook.read(folder)
    assert book == book.part("test")
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name, count in {
        "pages": len(book.pages),
        "questions and": len(book.inquiries),
        "claims": len(book.claims),
        "prompts": len(book.prompts),
    }.items():
        assert f"{count:,} {name}" in card


def test_it_is_as_large_and_as_mixed_as_it_has_to_be(book: Textbook) -> None:
    assert all(70 <= len(page.text.split()) <= 320 for page in book.pages)
    assert len(book.inquiries) >= 7.5 * len(book.pages)
    assert len(book.prompts) >= 2000
    languages = Counter(prompt.language for prompt in book.prompts)
    assert languages["es"] + languages["fr"] + languages["de"] >= 300


PAGE = Page(id="p", title="Tea", register="note", split="train", text="Green tea: two minutes.")
ASKED = Inquiry(
    id="q",
    passage="p",
    split="train",
    question="How long?",
    answers=("two minutes",),
    kind="number",
)
CLAIM = Claim(id="c", passage="p", split="train", claim="Tea takes long.", support="contradicted")
PROMPT = Prompt(
    id="r", prompt="Who are you?", need="none", kind="talk", language="en", split="train"
)
SMALL = Textbook(pages=(PAGE,), inquiries=(ASKED,), claims=(CLAIM,), prompts=(PROMPT,))
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def test_a_sound_one_has_no_problems() -> None:
    assert list(textbook.problems(SMALL, ["Who was that?"])) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"claims": (replace(CLAIM, id="q"),)}, "q: the id is used 2 times"),
        ({"pages": (replace(PAGE, id="x"),)}, "q: there is no page p"),
        ({"inquiries": (replace(ASKED, split="test"),)}, "q: its page is in another split"),
        ({"inquiries": (replace(ASKED, answers=("2 min",)),)}, "q: not verbatim in p: '2 min'"),
        (
            {"inquiries": (replace(ASKED, elsewhere=(("p", "milk"),)),)},
            "q: not verbatim in p: 'milk'",
        ),
        ({"inquiries": (replace(ASKED, elsewhere=(("y", "x"),)),)}, "q: y is no page of its split"),
        ({"pages": (replace(PAGE, version_of="o"),)}, "p: there is no page o"),
        (
            {"pages": (PAGE, replace(PAGE, id="o", text="GREEN tea, two minutes"))},
            "p and o say nearly the same",
        ),
        (
            {
                "pages": (
                    replace(PAGE, version_of="o"),
                    replace(PAGE, id="o", split="test", text="Black tea: four."),
                )
            },
            "p: its older version is in another split",
        ),
        (
            {"prompts": (replace(PROMPT, prompt="who are YOU"),)},
            "r repeats a text that is held out",
        ),
        (
            {"pages": (replace(PAGE, text=f"Green tea: two minutes. {LONG}"),)},
            "p repeats a text that is held out",
        ),
    ],
)
def test_each_fault_is_told(change: dict[str, tuple[object, ...]], complaint: str) -> None:
    held = ["Who are you?" if "prompts" in change else f"Well, {LONG} and so on"]
    assert complaint in list(textbook.problems(replace(SMALL, **change), held))  # type: ignore[arg-type]


def test_newer_versions_may_be_alike() -> None:
    pages = (replace(PAGE, version_of="o"), replace(PAGE, id="o"))
    assert list(textbook.problems(replace(SMALL, pages=pages))) == []


def test_a_line_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"passages\.jsonl cannot be read \(No such file"):
        textbook.read(tmp_path)
    for name in ("passages", "questions", "claims", "prompts"):
        (tmp_path / f"{name}.jsonl").write_text("")
    row = {"id": "q", "passage": "p", "split": "train", "question": "?", "kind": "name"}
    broken = json.dumps(row | {"answers": [], "answerable": True})
    (tmp_path / "questions.jsonl").write_text(broken + "\n")
    with pytest.raises(ConfigurationError, match=r"Line 1 of .*questions\.jsonl cannot be used"):
        textbook.read(tmp_path)


WRITTEN = {
    "passages": {"id": "p", "title": "Tea", "register": "note", "split": "train", "text": "Hot."},
    "questions": {
        "id": "q", "passage": "p", "split": "train", "question": "?", "answerable": True,
        "answers": ["Hot"], "kind": "thing",
    },
    "claims": {"id": "c", "passage": "p", "split": "train", "claim": "Hot.", "support": "full"},
    "prompts": {
        "id": "r", "prompt": "hello", "need": "none", "kind": "talk", "language": "en",
        "split": "train",
    },
}  # fmt: skip


def write(folder: Path, rows: dict[str, object]) -> None:
    for name, row in rows.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n")


def test_other_separators_of_lines_may_stand_in_a_text(tmp_path: Path) -> None:
    write(tmp_path, WRITTEN | {"passages": WRITTEN["passages"] | {"text": "Hot.\u2028Tea\x85"}})
    assert textbook.read(tmp_path).pages[0].text == "Hot.\u2028Tea\x85"


@pytest.mark.parametrize(
    ("file", "change", "complaint"),
    [
        ("questions", [], "Line 1 of .*questions.jsonl cannot be used"),
        ("questions", 5, "Line 1 of .*questions.jsonl cannot be used"),
        ("claims", {"support": "fully"}, "support is 'fully'"),
        ("prompts", {"need": "Retrieve"}, "need is 'Retrieve'"),
        ("passages", {"split": "dev"}, "split is 'dev'"),
        ("questions", {"passage": "x"}, "q: there is no page x"),
        ("questions", {"answers": ["Cold"]}, "q: not verbatim in p: 'Cold'"),
    ],
)
def test_what_does_not_fit_is_told_before_it_is_used(
    tmp_path: Path, file: str, change: object, complaint: str
) -> None:
    row = WRITTEN[file] | change if isinstance(change, dict) else change
    write(tmp_path, WRITTEN | {file: row})
    with pytest.raises(ConfigurationError, match=complaint):
        textbook.read(tmp_path)
