"""Check the textbook, and count what it has: `python scripts/check_textbook.py [data/textbook]`.

Spans stand verbatim in their pages, ids are unique, a page and what is asked about it are of one
split, nothing says nearly the same twice, and nothing repeats a text of tests/data or of another
textbook. Ends with 1 where something is wrong.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from avalan.data import textbook

ROOT = Path(__file__).resolve().parent.parent
BOOKS = ("data/textbook", "data/second-test")


def main(folder: Path) -> int:
    book = textbook.read(folder)
    found = list(textbook.problems(book, held_out(folder)))
    print(*found, sep="\n")
    words = [len(page.text.split()) for page in book.pages]
    print(f"{len(book.pages)} pages of {min(words)} to {max(words)} words, {sum(words):,} in all")
    count("splits", (page.split for page in book.pages))
    count("registers", (page.register for page in book.pages))
    print(f"{len(book.inquiries):,} questions")
    count("splits", (each.split for each in book.inquiries))
    count("kinds", (each.kind for each in book.inquiries))
    count("traits", (trait for each in book.inquiries for trait in each.traits))
    print(f"{len(book.claims):,} claims")
    count("support", (each.support for each in book.claims))
    print(f"{len(book.prompts):,} prompts")
    count("splits", (each.split for each in book.prompts))
    count("needs", (f"{each.need} {each.language}" for each in book.prompts))
    count("kinds", (each.kind for each in book.prompts))
    print(f"{len(found)} problems")
    return 1 if found else 0


def held_out(folder: Path) -> Iterator[str]:
    """The texts of tests/data, and of every textbook but that in `folder`."""
    others = [ROOT / name for name in BOOKS if (ROOT / name).resolve() != folder.resolve()]
    files = [path for other in (ROOT / "tests/data", *others) for path in other.rglob("*.jsonl")]
    for path in sorted(files):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield from (row[key] for key in ("prompt", "question", "text") if key in row)


def count(name: str, values: Iterable[str]) -> None:
    """One line: how often each comes, the most frequent first."""
    told = ", ".join(f"{value} {num}" for value, num in Counter(values).most_common())
    print(f"  {name}: {told}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "data/textbook")))
