"""How much of a sentence to quote: the words that answer, or all of it. Pure functions.

Where an encoder is unsure which words answer, or they are most of the sentence anyway, the whole
sentence says more and costs little. What it costs was fitted on validation data, by least squares
over the textbook, written pages, papers and Python's reference text: `scripts/extent.py`.
"""

from math import log

MOST_WORDS = 40
"""A longer sentence is not quoted whole."""
MOST_LOST = 0.1
"""Of the words' F1. The least at which the F1 does not fall on any kind of page, on validation."""


def lost(clarity: float, num_words: int, num_whole: int) -> float:
    """The words' F1 that is expected to be lost if the sentence is quoted whole.

    Args:
        clarity: how much the words are expected to have in common with the answer, 0 to 1.
        num_words: of the words that answer.
        num_whole: of the sentence.
    """
    return 0.328 * clarity + 0.165 * log(1 + num_whole) - 0.187 * log(1 + num_words) - 0.178


def is_whole_better(clarity: float, num_words: int, num_whole: int) -> bool:
    """Whether to quote the sentence."""
    return num_whole <= MOST_WORDS and lost(clarity, num_words, num_whole) < MOST_LOST
