"""Check the textbook, and count what it has: `python scripts/check_textbook.py [data/textbook]`.

Spans stand verbatim in their pages, ids are unique, a page and what is asked about it are of one
split, nothing says nearly the same twice, and nothing repeats a text of tests/data or of another
textbook. Ends with 1 where something is wrong. Where `again/labels.jsonl` lies in the folder, what
an annotator said who did not see the labels, it prints for each kind how often both agree.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

from avalan.data import textbook
from avalan.data.textbook import Textbook
from avalan.evaluate.metrics import cohens_kappa
from avalan.reflection.matching import best, token_f1

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
    if (again := folder / "again" / "labels.jsonl").exists():
        agreement(book, again)
    print(f"{len(found)} problems")
    return 1 if found else 0


def agreement(book: Textbook, again: Path) -> None:
    """How often the labels that were given again, blind, are those of the textbook."""
    said = {row["id"]: row for row in map(json.loads, again.read_text("utf-8").splitlines())}
    print("labelled again, blind: n, the same, Cohen's kappa, and the same of each label")
    asked = [each for each in book.inquiries if each.id in said]
    whether = ("missing", "answered")
    compare(
        "answered by the page",
        [whether[bool(each.answers)] for each in asked],
        [whether[said[each.id]["answer"] is not None] for each in asked],
    )
    both = [each for each in asked if each.answers and said[each.id]["answer"]]
    overlap = [best(token_f1, said[each.id]["answer"], each.answers) for each in both]
    print(
        f"    words' F1 of the answers, where both found one: {fmean(overlap):.3f} (n {len(both)})"
    )
    claims = [each for each in book.claims if each.id in said]
    first = [each.support for each in claims]
    compare("support of a claim", first, [said[each.id]["support"] for each in claims])
    prompts = [each for each in book.prompts if each.id in said]
    for field in ("need", "kind"):
        first = [getattr(each, field) for each in prompts]
        compare(f"{field} of a prompt", first, [said[each.id][field] for each in prompts])


def compare(what: str, first: Sequence[str], second: Sequence[str]) -> None:
    """One line for a kind of label, and one for its values."""
    same = [one == other for one, other in zip(first, second, strict=True)]
    kappa = cohens_kappa(first, second)
    print(f"  {what}: {len(same)}, {fmean(same):.3f}, {kappa:.2f}")
    num, agreed = Counter(first), Counter(x for x, y in zip(first, same, strict=True) if y)
    print("   ", ", ".join(f"{value} {agreed[value]} of {num[value]}" for value in sorted(num)))


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
