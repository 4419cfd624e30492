"""Fit what quoting a whole sentence costs: python scripts/extent.py

Each answerable question of the validation splits (textbook, written pages, papers, Python's
reference text) is looked up and read as by `avalan ask`; the words that the reader points at, and
the sentence that they stand in, are compared with the gold answers. The difference of their F1 is
fitted by least squares on three numbers; then the policy of `reflection.extent` is shown,
cross-fitted by page.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avalan.data import textbook
from avalan.evaluate import examples
from avalan.evaluate.examples import QuestionSet
from avalan.evaluate.grounded import indexed
from avalan.model.bundled import find
from avalan.model.nlp.judge import PairReader
from avalan.model.nlp.judge_onnx import open_reader
from avalan.reflection.extent import MOST_LOST, MOST_WORDS
from avalan.reflection.judge import above
from avalan.reflection.loop import NUM_LISTED
from avalan.reflection.matching import best, contains, exact_match, token_f1
from avalan.reflection.panel import open_panel
from avalan.reflection.rules import sentence_of
from avalan.retrieval.chunks import sentences

ROOT = Path(__file__).parents[1]
DATA, TEXTBOOK = ROOT / "tests" / "data", ROOT / "data" / "textbook"
TOP_K, NUM_FOLDS, RIDGE = 5, 10, 0.1
SCORES = (token_f1, contains, exact_match)


def main() -> None:
    """Read, fit, show."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--split", default="validation", choices=["train", "validation"])
    split = options.parse_args().split
    sets = {
        "T": examples.textbook_questions(textbook.read(TEXTBOOK).part(split)),
        "G3": examples.written_questions(DATA, split),
        "H": examples.house_questions(DATA, split),
        "P": examples.python_questions(DATA, split),
    }
    reader = open_reader(find("reader").folder)
    found = [(level, *row) for level, questions in sets.items() for row in read(reader, questions)]
    levels = np.array([level for level, *_ in found])
    groups = np.unique([f"{level}{group}" for level, group, *_ in found], return_inverse=True)[1]
    features = np.array([row for _level, _group, row, _sizes, *_ in found])
    sizes = np.array([row for _level, _group, _row, row, *_ in found])
    words, whole = (np.array([each[place] for each in found]) for place in (4, 5))
    gains = whole[:, 0] - words[:, 0]
    said = np.zeros(len(gains))
    for fold in range(NUM_FOLDS):
        held_out = groups % NUM_FOLDS == fold
        said[held_out] = features[held_out] @ least_squares(features[~held_out], gains[~held_out])
    print(
        "constant, clarity, ln(1 + words), ln(1 + whole):", least_squares(features, gains).round(3)
    )
    chosen = (said > -MOST_LOST) & (sizes <= MOST_WORDS)
    mixed = np.where(chosen[:, None], whole, words)
    print("F1, contained, exact match: of the words, of the sentence, by the policy; whole")
    for level in sets:
        of = levels == level
        told = "   ".join(
            " ".join(f"{v:.3f}" for v in each[of].mean(0)) for each in (words, whole, mixed)
        )
        print(f"{level:3} n {of.sum():4}   {told}   {chosen[of].mean():.2f}")


def least_squares(features: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """The weights, with a small penalty."""
    penalty = RIDGE * np.eye(features.shape[1])
    weights: np.ndarray = np.linalg.solve(features.T @ features + penalty, features.T @ gains)
    return weights


def read(
    reader: PairReader, questions: QuestionSet
) -> Iterator[tuple[str, list[float], int, list[float], list[float]]]:
    """The page, features, words of the sentence, scores of the words and of the sentence."""
    judge = open_panel("reader").reading
    with indexed(questions) as index:
        for question in questions.questions:
            passages = index.search(question.text, max(NUM_LISTED, TOP_K))[:TOP_K]
            if not question.answerable or not passages:
                continue
            passage = max(passages, key=lambda each: judge.read(question.text, each).confidence)
            ahead, text = above(passage.heading), passage.text
            pieces = [(a + len(ahead), b + len(ahead)) for a, b in sentences(text)]
            found = reader.point(question.text, ahead + text, start=len(ahead), pieces=pieces)
            if found.span is None:
                continue
            start, end = (each - len(ahead) for each in found.span)
            told = [text[slice(*each)] for each in ((start, end), sentence_of(text, (start, end)))]
            sizes = [len(each.split()) for each in told]
            row = [1.0, found.clarity, *np.log1p(sizes)]
            scores = [[best(score, each, question.answers) for score in SCORES] for each in told]
            yield question.group, row, sizes[1], *scores


if __name__ == "__main__":
    main()
