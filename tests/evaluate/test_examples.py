"""What tasks are measured on: made the same everywhere, and read with care."""

import json
from pathlib import Path
from typing import Any

import pytest

from avalan.data.worlds import domains
from avalan.errors import ConfigurationError
from avalan.evaluate.examples import (
    Generated,
    data_hashes,
    default_data,
    generated_prompts,
    generated_questions,
    house_hashes,
    house_questions,
    only_hints,
    python_questions,
    taught_answers,
    written_prompts,
    written_questions,
)
from avalan.model.entities import Message
from avalan.reflection.record import Record, Segment

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
LEVELS: tuple[Generated, ...] = ("G0", "G1", "G2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one passage of each split."""
    write(tmp_path / "decisions.jsonl", [prompt("d1", "validation"), prompt("d2", "test")])
    passages = [passage("p1", "validation"), passage("p2", "test")]
    write(tmp_path / "g3" / "a.passages.jsonl", passages)
    questions = [question("q1", "p1", "validation"), question("q2", "p2", "test")]
    write(tmp_path / "g3" / "a.questions.jsonl", questions)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def prompt(name: str, split: str) -> dict[str, Any]:
    return {
        "id": name,
        "prompt": "How much?",
        "need": "retrieve",
        "kind": "obscure",
        "split": split,
    }


def passage(name: str, split: str) -> dict[str, Any]:
    return {"id": name, "title": "Tea", "split": split, "text": "Tea brews for two minutes."}


def question(name: str, page: str, split: str) -> dict[str, Any]:
    text = {"id": name, "passage": page, "split": split, "question": "How long does tea brew?"}
    return text | {"answerable": True, "answers": ["two minutes"]}


@pytest.mark.parametrize("level", LEVELS)
def test_every_answer_stands_in_its_page(level: Generated) -> None:
    made = generated_questions(level, 40, split="validation", seed=1)
    texts = {page.name: page.text for page in made.pages}
    assert len(texts) == len(made.pages)
    assert len({each.id for each in made.questions}) == 40
    for each in made.questions:
        assert all(answer in texts[each.page] for answer in each.answers)
    assert 0 < sum(each.answerable for each in made.questions) < 40


def test_a_seed_repeats_the_examples_and_each_split_has_its_own() -> None:
    def texts(split: Any, seed: int) -> set[str]:
        made = generated_questions("G1", 20, split=split, seed=seed)
        assert made == generated_questions("G1", 20, split=split, seed=seed)
        return {page.text for page in made.pages}

    assert not texts("validation", 0) & texts("test", 0)
    assert not texts("validation", 0) & texts("validation", 1)


def test_more_examples_begin_with_the_same_ones() -> None:
    few = generated_prompts("G1", 5, split="validation", seed=0)
    assert generated_prompts("G1", 9, split="validation", seed=0)[:5] == few


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ("When does THE TOWN hold its market?", True),
        ("Who founded it?", True),
        ("With how many people did Thasleville start?", False),
        ("Who mapped the townlands of Thasleville?", False),
    ],
)
def test_a_question_that_only_hints_at_its_subject_is_known(text: str, hints: bool) -> None:
    """Among hundreds of pages "the town" is many towns."""
    town = next(domain for domain in domains() if "the town" in domain.aliases)
    record = Record(
        id="r",
        messages=(Message(role="user", content=text),),
        segments=(Segment(decision="retrieve"),),
        source={"domain": town.name},
    )
    assert only_hints(record) == hints


def test_made_prompts_are_of_both_kinds() -> None:
    made = generated_prompts("G1", 60, split="validation", seed=0)
    assert 20 < sum(each.retrieve for each in made) < 40


def test_taught_answers_hold_sums_and_facts_but_no_small_talk() -> None:
    found = taught_answers(60, split="validation", seed=0)
    assert len(found) == 60
    assert sum(answer.isdigit() for _, answer in found) > 10
    assert any(not answer.isdigit() for _, answer in found)


def test_the_written_files_hold_both_splits_in_full() -> None:
    assert default_data() == DATA
    validation, test = (written_questions(DATA, split) for split in ("validation", "test"))
    assert len(validation.questions) + len(test.questions) >= 300
    assert not {each.name for each in validation.pages} & {each.name for each in test.pages}
    assert not {each.id for each in validation.questions} & {each.id for each in test.questions}
    assert len(written_prompts(DATA, "validation")) > 100


def test_only_the_split_that_is_asked_for_is_read(data: Path) -> None:
    assert [each.id for each in written_prompts(data, "validation")] == ["d1"]
    found = written_questions(data, "validation")
    assert [each.name for each in found.pages] == ["p1.md"]
    assert found.pages[0].text == "# Tea\n\nTea brews for two minutes.\n"
    assert [(each.id, each.answers, each.page) for each in found.questions] == [
        ("q1", ("two minutes",), "p1.md")
    ]


def test_the_invented_papers_are_whole_and_each_answer_stands_in_its_page() -> None:
    validation, test = (house_questions(DATA, split) for split in ("validation", "test"))
    assert [len(each.questions) for each in (validation, test)] == [120, 240]
    assert not {each.name for each in validation.pages} & {each.name for each in test.pages}
    for found in (validation, test):
        texts = {each.name: each.text for each in found.pages}
        silent = [each for each in found.questions if not each.answerable]
        assert len(silent) == len(found.questions) / 4
        assert all({each.page, *each.versions} <= set(texts) for each in found.questions)
        assert all(gold in texts[each.page] for each in found.questions for gold in each.answers)
    assert len(house_hashes(DATA)) == 6


def papers(folder: Path, **change: Any) -> Path:
    """Rules in three versions, of which the last has changed its price, and a question."""
    texts = ("two days, 3 crowns", "three days, 3 crowns", "two days, 4 crowns")
    pages = [
        {"id": f"r{n}", "file": "rules.md", "text": text, "version_of": f"r{n - 1}" if n else None}
        for n, text in enumerate(texts)
    ]
    asked = {"id": "q1", "question": "How long?", "kind": "plain", "pages": ["r2"]}
    write(folder / "house" / "a.pages.jsonl", pages)
    write(folder / "house" / "a.questions.jsonl", [asked | {"answers": ["two days"]} | change])
    return folder


def test_a_version_that_says_the_same_is_as_good_a_source(tmp_path: Path) -> None:
    (asked,) = house_questions(papers(tmp_path), "validation").questions
    assert (asked.page, asked.versions) == ("r2-rules.md", ("r0-rules.md",))
    assert asked.is_on("/x/r0-rules.md")
    assert not asked.is_on("/x/r1-rules.md")
    (asked,) = house_questions(papers(tmp_path, answers=["4 crowns"]), "validation").questions
    assert asked.versions == ()


def test_a_question_over_two_papers_is_about_the_one_that_has_the_answer(tmp_path: Path) -> None:
    folder = papers(tmp_path, kind="multi", pages=["r0", "r2"], answers=["4 crowns"])
    assert house_questions(folder, "validation").questions[0].page == "r2-rules.md"


@pytest.mark.parametrize("change", [{"answers": ["5 crowns"]}, {"kind": "unanswerable"}])
def test_a_broken_question_about_papers_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="the answers of q1 do not fit its passage"):
        house_questions(papers(tmp_path, **change), "validation")


def test_the_hashes_change_with_the_files(data: Path) -> None:
    before = data_hashes(data)
    assert sorted(before) == ["decisions.jsonl", "g3/a.passages.jsonl", "g3/a.questions.jsonl"]
    write(data / "decisions.jsonl", [prompt("d1", "validation")])
    after = data_hashes(data)
    assert [name for name in before if before[name] != after[name]] == ["decisions.jsonl"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answers": ["three minutes"]}, "the answers of q1 do not fit its passage"),
        ({"answerable": False}, "the answers of q1 do not fit its passage"),
        ({"passage": "p9"}, "KeyError: 'p9'"),
    ],
)
def test_a_broken_question_is_named(data: Path, change: dict[str, Any], complaint: str) -> None:
    write(data / "g3" / "a.questions.jsonl", [question("q1", "p1", "validation") | change])
    with pytest.raises(ConfigurationError, match=complaint):
        written_questions(data, "validation")


def test_a_line_that_is_no_json_is_named(data: Path) -> None:
    (data / "decisions.jsonl").write_text('{"id": "d1"\n')
    with pytest.raises(ConfigurationError, match=r"Line 1 of .*decisions\.jsonl"):
        written_prompts(data, "validation")


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    for read in (written_prompts, written_questions):
        with pytest.raises(ConfigurationError, match="--data DIR"):
            read(tmp_path, "validation")


def test_pythons_reference_text_has_its_questions() -> None:
    found = {split: python_questions(DATA, split) for split in ("validation", "test")}
    for each in found.values():
        pages = {page.name: page.text for page in each.pages}
        assert len(pages) > 70
        assert len(each.questions) > 100
        assert all(question.answers[0] in pages[question.page] for question in each.questions)
    later = [
        python_questions(ROOT / "data" / name, "test").questions
        for name in ("second-test", "third-test")
    ]
    assert all(len(each) > 200 for each in later)
    sets = [*(each.questions for each in found.values()), *later]
    for part in ("id", "text"):
        asked = [{getattr(question, part) for question in each} for each in sets]
        assert sum(map(len, asked)) == sum(map(len, sets)) == len(set.union(*asked))
