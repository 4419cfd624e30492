"""Words are marked where the search found them: by their stems, wherever they stand."""

import pytest

from avalan.retrieval.marks import matches


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("Do deliveries run?", "RUNNING late, the delivery ran.", ["RUNNING", "delivery"]),
        ("cafe", "Ein Café und noch ein CAFÉ", ["Café", "CAFÉ"]),
        ("who is it", "Nobody knows who.", ["who"]),
        ("zeppelin", "Nothing of the kind", []),
        ("绿茶", "这是绿茶。", ["绿茶"]),
        ('quote" OR (x', "a quote here", ["quote"]),
    ],
)  # fmt: skip
def test_the_words_found_are_marked(question: str, text: str, expected: list[str]) -> None:
    (found,) = matches(question, [text])
    assert [text[start:end] for start, end in found] == expected


def test_each_text_has_its_own_places() -> None:
    assert matches("tea", ["no", "tea", "my tea"]) == [[], [(0, 3)], [(3, 6)]]


def test_a_question_without_words_marks_nothing() -> None:
    assert matches("?!", ["a", "b"]) == [[], []]


def test_a_text_with_our_own_marks_is_left_unmarked() -> None:
    assert matches("tea", ["tea \ue0f0 tea"]) == [[]]
