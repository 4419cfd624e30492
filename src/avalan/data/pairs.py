"""Questions of the textbook beside pages: their own, and strangers that share words with them."""

from collections.abc import Mapping

import numpy as np

from avalan.data.textbook import Page, Textbook
from avalan.retrieval import query


def shown(page: Page) -> str:
    """A page as the index would show it: its title is a heading."""
    return f"{page.title}\n\n{page.text}"


def strangers(book: Textbook, most: int) -> Mapping[str, tuple[Page, ...]]:
    """By inquiry's id, the pages other than its own that share most with it, the nearest first.

    Shared words count by how rare they are (inverse document frequency).
    """
    pages = [shown(page) for page in book.pages]
    vocabulary: dict[str, int] = {}
    bags = [{vocabulary.setdefault(t, len(vocabulary)) for t in _terms(page)} for page in pages]
    table = np.zeros((len(pages), len(vocabulary)), np.float32)
    for row, bag in enumerate(bags):
        table[row, list(bag)] = 1
    weights = np.log(len(pages) / np.maximum(table.sum(axis=0), 1))
    found = {}
    for each in book.inquiries:
        terms = [vocabulary[term] for term in _terms(each.question) if term in vocabulary]
        scores = table[:, terms] @ weights[terms] if terms else np.zeros(len(pages), np.float32)
        ranked = (book.pages[i] for i in np.argsort(-scores, kind="stable"))
        found[each.id] = tuple(page for page in ranked if page.id != each.passage)[:most]
    return found


def _terms(text: str) -> set[str]:
    return set(query.content_terms(text))
