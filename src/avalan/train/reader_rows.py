"""The rows of a step of the reader's: lessons in token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import tokenizers
import torch
from torch import Tensor

from avalan.data.mixture import rng_for
from avalan.data.textbook import Textbook
from avalan.errors import ConfigurationError
from avalan.model.nlp.judge import Window, windows
from avalan.model.nlp.sentence import padded
from avalan.train.reader_lessons import Exercises, Lesson, long_texts, written_lessons
from avalan.train.reader_losses import IGNORED
from avalan.train.reader_recipe import EXERCISES, SHARES, ReaderRecipe


class Steps(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Item `i` is everything of step `i`, from the seed and `i` alone."""

    def __init__(
        self, recipe: ReaderRecipe, book: Textbook, tokenizer: tokenizers.Tokenizer
    ) -> None:
        """Raises ConfigurationError: a file of texts cannot be read, or a share has no lessons."""
        self._recipe, self._tokenizer = recipe, tokenizer
        self._lessons = written_lessons(book)
        for share, lessons in self._lessons.items():
            if getattr(recipe.lessons, share) and not lessons:
                raise ConfigurationError(
                    "The textbook's training part gives no lessons for lessons.{share}; set it to "
                    "0, or name a whole textbook.",
                    share=share,
                )
        texts = long_texts(recipe.lessons.texts, recipe.lessons.texts_per_file)
        self._exercises = Exercises(book, texts)

    def __len__(self) -> int:
        return self._recipe.run.num_steps

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = rng_for(self._recipe.run.seed, index)
        opening = index < self._recipe.lessons.opening * len(self)
        names = EXERCISES if opening else SHARES
        shares = [getattr(self._recipe.lessons, name) for name in names]
        kinds = rng.choices(names, weights=shares, k=self._recipe.run.rows_per_step)
        drawn = [self._draw(kind, rng) for kind in kinds]
        return batch([row(each, self._tokenizer, self.room(each, rng), rng) for each in drawn])

    def _draw(self, kind: str, rng: Random) -> Lesson:
        if kind in self._lessons:
            return rng.choice(self._lessons[kind])
        return self._exercises.lesson(kind, rng)

    def room(self, lesson: Lesson, rng: Random) -> int:
        """Tokens of the row: a claim is about a whole page, an answer stands somewhere in it."""
        longest = self._recipe.lessons.max_tokens
        if lesson.spans is None:
            return longest
        return rng.randint(min(self._recipe.lessons.shortest, longest), longest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A lesson in token ids; a target that is not asked for is `IGNORED`."""

    window: Window
    start: int = IGNORED
    end: int = IGNORED
    relevant: int = IGNORED
    support: int = IGNORED
    retrieve: int = IGNORED


def row(lesson: Lesson, tokenizer: tokenizers.Tokenizer, longest: int, rng: Random) -> Row:
    """The lesson with one window of its page: one that has the answer, where there is one."""
    found = windows(tokenizer, lesson.text, lesson.page, longest)
    held = [
        (window, span)
        for window in found
        for span in (_tokens_of(each, window) for each in lesson.spans or ())
        if span
    ]
    targets = Row(
        # What bears a claim out stands where most of its words do, and so seems what does not.
        window=rng.choice(found) if lesson.support is None else max(found, key=_num_shared),
        relevant=_or_ignored(lesson.relevant),
        support=_or_ignored(lesson.support),
        retrieve=_or_ignored(lesson.retrieve),
    )
    if lesson.spans is None:
        return targets
    if not lesson.spans:
        return replace(targets, start=0, end=0)
    if not held:  # It is divided between windows.
        return replace(targets, relevant=IGNORED)
    window, (start, end) = rng.choice(held)
    return replace(targets, window=window, start=start, end=end)


def _num_shared(window: Window) -> int:
    """How many of the text's tokens stand in this part of the page."""
    placed = list(zip(window.token_ids, window.places, strict=True))
    page = {token_id for token_id, place in placed if place}
    ahead = window.kinds.count(0)
    return len(page & {token_id for token_id, _ in placed[1 : ahead - 1]})


def _or_ignored(value: int | None) -> int:
    return IGNORED if value is None else int(value)


def _tokens_of(span: tuple[int, int], window: Window) -> tuple[int, int] | None:
    """The first and the last token of a span of characters; None where the window lacks a part."""
    inside = [
        i
        for i, place in enumerate(window.places)
        if place is not None and place[0] < span[1] and place[1] > span[0]
    ]
    if not inside:
        return None
    first, last = window.places[inside[0]], window.places[inside[-1]]
    whole = first is not None and last is not None and first[0] <= span[0] and last[1] >= span[1]
    return (inside[0], inside[-1]) if whole else None


def batch(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Rows of like kind as tensors, padded to the longest.

    Returns:
        input_ids, mask, kinds and allowed, (num_rows, length); start, end, relevant, support and
        retrieve, (num_rows,).
    """
    ids, mask = padded([each.window.token_ids for each in rows])
    kinds, _mask = padded([each.window.kinds for each in rows])
    allowed = np.zeros(ids.shape, np.bool_)
    allowed[:, 0] = True
    for index, each in enumerate(rows):
        inside = [i for i, place in enumerate(each.window.places) if place is not None]
        allowed[index, inside] = True
    tensors = {"input_ids": ids, "mask": mask, "kinds": kinds, "allowed": allowed}
    found = {name: torch.from_numpy(values) for name, values in tensors.items()}
    for name in ("start", "end", "relevant", "support", "retrieve"):
        found[name] = torch.tensor([getattr(each, name) for each in rows])
    return found
