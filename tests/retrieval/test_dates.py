"""When a document says it is from."""

from datetime import date

import pytest

from avalan.retrieval.dates import date_of

NOT_SAID = "x" * 700


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3rd edition, issued 16 May 2022. Keep this book.", date(2022, 5, 16)),
        ("Issued 2nd of September 2024", date(2024, 9, 2)),
        ("September 2, 2024 – minutes", date(2024, 9, 2)),
        ("date: 2025-03-14", date(2025, 3, 14)),
        ("Stand: 2. September 2024", date(2024, 9, 2)),
        ("Stand: 02.09.2024", date(2024, 9, 2)),
        ("A 2 de septiembre de 2024", date(2024, 9, 2)),
        ("le 1er août 2023", date(2023, 8, 1)),
        ("April 2024 edition", date(2024, 4, 1)),
        ("30 February 2024, and then 1 March 2024", date(2024, 3, 1)),
        # Two days in two countries, a version, a part of a number, too far down.
        ("02/09/2024", None),
        ("version 12.10.2024.3 of 1-2024-09-02-7", None),
        (f"{NOT_SAID} 16 May 2022", None),
        ("", None),
    ],
)
def test_the_first_date_that_is_certain(text: str, said: date | None) -> None:
    assert date_of("notes.md", text) == said


def test_a_date_in_the_name_counts_first() -> None:
    assert date_of("minutes_2024-01-31.md", "of 2 May 2023") == date(2024, 1, 31)
    assert date_of("minutes 5 May 2024.md", "") == date(2024, 5, 5)
