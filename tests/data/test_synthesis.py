"""Which record is number i; what a recipe may say."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from avalan.data import synthesis
from avalan.data.slots import in_training
from avalan.data.synthesis import Recipe, Size, drawn, load_recipe, makers, read_mix
from avalan.data.textbook import Claim, Inquiry, Page, Prompt, Textbook
from avalan.data.textbook_records import blanks_maker, near_maker, single_maker
from avalan.errors import ConfigurationError
from avalan.reflection.record import Record, from_json, to_json

RECIPE = load_recipe("avalon")
MAKERS = makers(RECIPE, None)


def test_a_record_follows_from_its_number_alone() -> None:
    backwards = {index: drawn(RECIPE, index, MAKERS) for index in reversed(range(40))}
    assert [drawn(RECIPE, index, MAKERS) for index in range(40)] == [
        backwards[index] for index in range(40)
    ]
    other = replace(RECIPE, size=Size(seed=8))
    assert drawn(other, 0, MAKERS) != backwards[0]
    # How many are wanted changes none of them.
    longer = replace(RECIPE, size=replace(RECIPE.size, num=7))
    assert drawn(longer, 3, MAKERS) == backwards[3]


def test_every_record_travels() -> None:
    for index in range(200):
        record = drawn(RECIPE, index, MAKERS)
        assert from_json(to_json(record)) == record


def test_the_parts_have_their_shares() -> None:
    parts = [drawn(RECIPE, index, MAKERS).source["part"] for index in range(1000)]
    assert 0.76 < parts.count("selfrag") / 1000 < 0.84
    only = replace(RECIPE, mix={"selfrag": 0.0, "general": 1.0})
    assert all(drawn(only, index, MAKERS).is_plain for index in range(50))


def test_general_records_have_no_reflection_and_the_others_do() -> None:
    for index in range(200):
        record = drawn(RECIPE, index, MAKERS)
        assert record.is_plain == (record.source["part"] == "general")
        assert record.is_plain <= (record.utility is None)


def test_what_is_held_out_is_held_out() -> None:
    recipe = replace(RECIPE, size=Size(validation=0.5, test=0.5), mix={"selfrag": 1.0})
    made = [drawn(recipe, index, MAKERS) for index in range(300)]
    assert {record.split for record in made} == {"validation", "test"}
    assert {(record.split, record.source["level"]) for record in made} == {
        ("validation", "G1"), ("test", "G1"), ("test", "G2"),
    }  # fmt: skip
    simple = replace(recipe, parts={"selfrag": {"simple": 1.0}})
    for index in range(60):
        record = drawn(simple, index, MAKERS)
        titles = [passage.title for passage in record.segments[0].passages]
        assert all(not in_training(title) for title in titles)


PAGES = tuple(
    Page(
        id=f"p{n}", title=f"Tea {n}", register="note", split="train", text=f"Tea {n}: {n} minutes."
    )
    for n in range(3)
)
BOOK = Textbook(
    pages=PAGES,
    inquiries=(
        Inquiry(
            id="q1",
            passage="p1",
            split="train",
            question="How long is tea 1?",
            answers=("1 minutes",),
            kind="number",
        ),
        Inquiry(
            id="q2",
            passage="p2",
            split="train",
            question="Who picks it?",
            answers=(),
            kind="missing",
        ),
    ),
    claims=(
        Claim(
            id="c1", passage="p1", split="train", claim="Tea takes years.", support="contradicted"
        ),
        Claim(id="c2", passage="p2", split="train", claim="Tea is picked.", support="partial"),
    ),
    prompts=(
        Prompt(
            id="d1", prompt="¿qué hora es?", need="retrieve", kind="change", language="es",
            split="train",
        ),
    ),
)  # fmt: skip


def of_the_book(kind: str, num: int, *, validation: float = 0.0) -> list[Record]:
    recipe = Recipe(
        name="book",
        size=Size(validation=validation, test=0.0),
        mix={"written": 1.0},
        parts={"written": {kind: 1.0}},
    )
    made_by = makers(recipe, BOOK)
    return [drawn(recipe, index, made_by) for index in range(num)]


def test_the_textbooks_records_have_its_pages_and_its_answers() -> None:
    made = of_the_book("textbook", 200, validation=0.2)
    by_id = {record.source.get("id"): record for record in made}
    answered, silent, prompt = by_id["q1"], by_id["q2"], by_id["d1"]
    (segment,) = answered.segments
    assert segment.span is not None
    assert segment.passages[-1].text[slice(*segment.span)] == segment.text == "1 minutes"
    assert [passage.relevant for passage in segment.passages][-1]
    assert answered.utility == 5
    assert silent.segments[0].support is None
    assert not any(passage.relevant for passage in silent.segments[0].passages)
    assert (prompt.lang, prompt.segments[0].decision, prompt.utility) == ("es", "retrieve", None)
    # Its own test pages are for testing: what is kept for validation is made of worlds.
    assert {record.source["kind"] for record in made if record.split != "train"} == {"reading"}


def test_a_question_over_one_page_is_answered_by_its_own_alone() -> None:
    made = of_the_book("single", 200)
    for record in made:
        (segment,) = record.segments
        (page,) = segment.passages
        is_own = (record.source["id"], page.pid) in (("q1", "p1"), ("q2", "p2"))
        is_answered = record.source["id"] == "q1" and is_own
        assert (segment.support == "full") == page.relevant == is_answered
        assert (segment.text == "1 minutes") == is_answered
    assert {len(record.answers) for record in made} == {0, 1}


def test_the_other_page_is_the_likest_of_those_drawn() -> None:
    long = replace(PAGES[0], title="How long it takes")
    make = single_maker(replace(BOOK, pages=(long, *PAGES[1:]), inquiries=BOOK.inquiries[:1]))
    made = [make(Random(seed), "train", identifier="r", split="train") for seed in range(60)]
    shown = [record.segments[0].passages[0].pid for record in made]
    assert set(shown) == {"p0", "p1"}
    assert 0.4 < shown.count("p1") / 60 < 0.8


LONG = replace(
    PAGES[1],
    text="Tea 1 is green. It grows on a hill. You steep it for 3 minutes. It is drunk from a bowl. "
    "Nobody takes milk. The bowl is warmed before. The leaves are used again.",
)
LONG_BOOK = replace(
    BOOK,
    pages=(PAGES[0], LONG, PAGES[2]),
    inquiries=(replace(BOOK.inquiries[0], answers=("3 minutes",)),),
)


def test_a_question_near_its_answer_shows_some_whole_sentences_around_it() -> None:
    make = near_maker(LONG_BOOK)
    made = [make(Random(seed), "train", identifier="r", split="train") for seed in range(99)]
    own = [record for record in made if record.segments[0].span]
    for record in own:
        (segment,) = record.segments
        (page,) = segment.passages
        assert segment.span is not None
        assert page.text[slice(*segment.span)] == segment.text == "3 minutes"
        assert page.text in LONG.text
        assert page.text[0].isupper()
        assert page.text.endswith(".")
    shown = {record.segments[0].passages[0].text for record in own}
    assert len(shown) > 5
    assert min(map(len, shown)) < len(LONG.text) / 3
    others = [record for record in made if not record.segments[0].span]
    assert {record.segments[0].passages[0].pid for record in others} <= {"p0", "p2"}
    assert 0.25 < len(others) / len(made) < 0.55


def test_parts_of_the_textbooks_sentences_are_asked_for() -> None:
    make = blanks_maker(LONG_BOOK)
    made = [make(Random(seed), "train", identifier="r", split="train") for seed in range(99)]
    absent = [record for record in made if not record.segments[0].passages[0].relevant]
    assert 0.1 < len(absent) / len(made) < 0.45
    for record in made:
        (segment,) = record.segments
        (page,) = segment.passages
        assert (segment.span is None) == (not page.relevant) == (segment.support is None)
        if segment.span is not None:
            assert page.text[slice(*segment.span)] == segment.text
            assert segment.text not in record.messages[-1].content
            assert any(page.text in each.text for each in LONG_BOOK.pages)


def test_pages_of_which_nothing_can_be_asked_are_refused() -> None:
    make = blanks_maker(replace(BOOK, pages=(replace(LONG, text="Tea. Leaves."),)))
    with pytest.raises(ConfigurationError, match="leave the kind blanks out"):
        make(Random(0), "train", identifier="r", split="train")


def test_the_textbooks_prompts_are_a_decision_each() -> None:
    made = of_the_book("prompts", 200)
    typed = {record.messages[-1].content for record in made}
    assert BOOK.prompts[0].prompt in typed
    # As different hands type it, without courtesies of another language.
    assert len(typed) > 5
    assert all(len(text) <= len(BOOK.prompts[0].prompt) + 2 for text in typed)
    assert not any(record.segments[0].passages or record.segments[0].text for record in made)


def test_the_textbooks_claims_are_graded_and_not_learned() -> None:
    by_id = {record.source["id"]: record for record in of_the_book("claims", 20)}
    denied, partly = by_id["c1"], by_id["c2"]
    assert denied.messages[-1].content == denied.segments[0].text == "Tea takes years."
    assert (denied.segments[0].support, partly.segments[0].support) == ("none", "partial")
    assert [passage.pid for passage in partly.segments[0].passages] == ["p2"]
    assert (denied.loss.text, denied.loss.reflection) == (0.0, 1.0)


@pytest.mark.parametrize("kind", ["textbook", "single", "near", "blanks", "claims", "prompts"])
def test_without_a_textbook_its_records_are_refused(kind: str) -> None:
    recipe = replace(RECIPE, parts={"selfrag": {kind: 1.0}, "general": {"sums": 1.0}})
    with pytest.raises(ConfigurationError, match="--textbook DIR"):
        makers(recipe, None)


@pytest.mark.parametrize(
    ("kind", "empty", "file"),
    [
        ("textbook", "inquiries", "questions.jsonl"),
        ("single", "inquiries", "questions.jsonl"),
        ("near", "inquiries", "questions.jsonl"),
        ("blanks", "pages", "passages.jsonl"),
        ("claims", "claims", "claims.jsonl"),
        ("prompts", "prompts", "prompts.jsonl"),
    ],
)
def test_a_textbook_without_lessons_of_a_kind_is_refused(kind: str, empty: str, file: str) -> None:
    recipe = replace(RECIPE, parts={"selfrag": {kind: 1.0}, "general": {"sums": 1.0}})
    held_out = tuple(replace(row, split="test") for row in getattr(BOOK, empty))
    with pytest.raises(ConfigurationError, match=f"no line of the textbook's {file} is for"):
        makers(recipe, replace(BOOK, **{empty: held_out}))


def test_a_mix_is_read() -> None:
    assert read_mix("selfrag=0.8, general=0.2") == {"selfrag": 0.8, "general": 0.2}
    for text in ("selfrag", "selfrag=much", ""):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_mix(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[sise]\nnum = 3", "'sise' that means nothing here; did you mean 'size'"),
        ("[size]\nnun = 3", "did you mean 'size.num'"),
        ("[size]\nnum = 0", "size.num = 0, but it must be from 1"),
        ("[size]\nnum = 'many'", "must be a whole number"),
        ("[size]\nvalidation = 0.7\ntest = 0.7", "more than everything"),
        ("[mix]\na = 1", "'mix.a' that means nothing here"),
        ("[mix]\na = 1\n[parts.a]\nreadin = 1", "did you mean 'parts.a.reading'"),
        ("[mix]\na = -1\n[parts.a]\nreading = 1", "must be a share"),
        ("[mix]\na = true\n[parts.a]\nreading = 1", "must be a share"),
        ("[mix]\na = 0\n[parts.a]\nreading = 1", "no shares in [mix]"),
        ("mix = 3\n[parts.a]\nreading = 1", "write it as [mix]"),
        ("[mix", "not valid TOML"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(str(file))
    assert problem in str(caught.value)


def test_flags_go_before_the_file() -> None:
    recipe = load_recipe("avalon", num=5, seed=3, mix={"general": 1.0})
    assert (recipe.size.num, recipe.size.seed) == (5, 3)
    assert recipe.mix == {"general": 1.0}
    assert synthesis.shipped_recipes() == ["avalon", "grown"]
