"""Questions of the textbook beside pages: their own, and strangers that share words with them."""

from collections.abc import Mapping
from itertools import islice

import numpy as np

from avalan.data.textbook import Page, Textbook
from avalan.reflection.judge import above
from avalan.retrieval import query


def shown(page: Page) -> str:
    """A page as the index would show it: its title is a heading."""
    return above(page.title) + page.text


def strangers(book: Textbook, most: int) -> Mapping[str, tuple[Page, ...]]:
    """By inquiry's id, the pages that share most with it and are not its own, the nearest first.

    Shared words count by how rare they are (inverse document frequency). Other versions of its
    page, and pages that answer it too, are no strangers.
    """
    pages = [shown(page) for page in book.pages]
    vocabulary: dict[str, int] = {}
    bags = [{vocabulary.setdefault(t, len(vocabulary)) for t in _terms(page)} for page in pages]
    table = np.zeros((len(pages), len(vocabulary)), np.float32)
    for row, bag in enumerate(bags):
        table[row, list(bag)] = 1
    weights = np.log(len(pages) / np.maximum(table.sum(axis=0), 1))
    versions = _versions(book)
    found = {}
    for each in book.inquiries:
        terms = [vocabulary[term] for term in _terms(each.question) if term in vocabulary]
        scores = table[:, terms] @ weights[terms] if terms else np.zeros(len(pages), np.float32)
        ranked = (book.pages[i] for i in np.argsort(-scores, kind="stable"))
        kin = versions[each.passage] | {name for name, _piece in each.elsewhere}
        found[each.id] = tuple(islice((page for page in ranked if page.id not in kin), most))
    return found


def _versions(book: Textbook) -> Mapping[str, frozenset[str]]:
    """Each page's id with all that are older or newer versions of it, itself included."""
    first = {page.id: page.version_of or page.id for page in book.pages}
    together: dict[str, set[str]] = {}
    for name in first:
        oldest, passed = name, {name}
        # Versions in a circle would have no oldest.
        while (older := first.get(oldest, oldest)) not in passed:
            oldest = older
            passed.add(older)
        together.setdefault(oldest, set()).add(name)
    return {name: frozenset(names) for names in together.values() for name in names}


def _terms(text: str) -> list[str]:
    # In their order: sums of floats must be the same in every process.
    return query.content_terms(text)
