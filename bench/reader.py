"""How well a reader reads, beside the rules.

    python bench/reader.py FOLDER [--split validation] [--textbook data/textbook]

FOLDER has the ONNX files of a reader. On the textbook: where the answer stands (words' F1, exact
match), whether it is there at all (refusals where at most a tenth of the answerable is refused),
whether a page is the right one (AUROC; beside the question's own page one that shares words with
it), how far a page supports a claim (macro-F1), and whether a prompt needs a look-up (accuracy,
AUROC, ECE; by language). Thresholds are chosen on validation. Printed for both, with 95% bootstrap
intervals over pages, and the paired difference; then the time for ten pages.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from avalan.data import textbook
from avalan.data.textbook import Textbook
from avalan.evaluate.metrics import auroc, expected_calibration_error, macro_f1
from avalan.evaluate.statistics import Estimate, bootstrap, paired_difference
from avalan.model.nlp.judge import SUPPORTS, PairReader
from avalan.model.nlp.judge_onnx import open_reader
from avalan.reflection.matching import best, exact_match, token_f1
from avalan.reflection.rules import RulesJudge, retrieval_rule
from avalan.retrieval import query
from avalan.retrieval.entities import Passage
from avalan.train.reader_rows import Lesson, written_lessons

OVER_REFUSAL = 0.1
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a judge makes of a question and a page."""

    answer: str
    here: float
    """Grows with the likelihood that the page answers."""
    relevance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """The reader or the rules, by part."""

    name: str
    read: Callable[[str, str], Said]
    support: Callable[[str, str], str]
    need: Callable[[str], float]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--split", default="validation", choices=["train", "validation", "test"])
    options.add_argument("--textbook", type=Path, default=Path("data/textbook"))
    given = options.parse_args()
    book = textbook.read(given.textbook)
    reader = open_reader(given.folder)
    both = [of_reader(reader), of_rules()]
    part, validation = book.part(given.split), book.part("validation")
    print(f"{given.split}: {len(part.pages)} pages")
    answers(part, validation, both)
    relevance(part, both)
    support(part, both)
    need(part, validation, both)
    pace(part, reader)


def of_reader(reader: PairReader) -> Contestant:
    def read(question: str, page: str) -> Said:
        found = reader.point(question, page)
        answer = page[slice(*found.span)] if found.span else ""
        return Said(answer=answer, here=found.margin, relevance=found.relevance)

    def grade(claim: str, page: str) -> str:
        return SUPPORTS[int(np.argmax(reader.support(claim, page)))]

    return Contestant(name="reader", read=read, support=grade, need=reader.need)


def of_rules() -> Contestant:
    judge = RulesJudge()

    def read(question: str, page: str) -> Said:
        size = len(page.encode())
        passage = Passage(
            source="page", start=0, end=size, text=page, heading="", offsets_in="file"
        )
        found = judge.read(question, passage)
        answer = page[slice(*found.span)] if found.span else ""
        return Said(answer=answer, here=found.confidence, relevance=found.relevance)

    return Contestant(name="rules", read=read, support=by_words, need=retrieval_rule)


def by_words(claim: str, page: str) -> str:
    """Full where the page has all words of the claim, partial where it has half of them."""
    terms, known = query.content_terms(claim), set(query.content_terms(page))
    share = sum(term in known for term in terms) / max(len(terms), 1)
    return "full" if share >= 0.95 else "partial" if share >= 0.5 else "none"


def answers(part: Textbook, validation: Textbook, both: Sequence[Contestant]) -> None:
    asked = written_lessons(part)["asked"]
    golds = [each.answers for each in part.inquiries]
    groups = [each.passage for each in part.inquiries]
    there = np.array([bool(gold) for gold in golds])
    f1s, exacts, refused = [], [], []
    for each in both:
        least = threshold(validation, each)
        said = [each.read(lesson.text, lesson.page) for lesson in asked]
        pairs = [(a.answer, g) for a, g in zip(said, golds, strict=True) if g]
        f1s.append([best(token_f1, answer, gold) for answer, gold in pairs])
        exacts.append([best(exact_match, answer, gold) for answer, gold in pairs])
        refused.append(np.array([a.here < least for a in said]))
    inside = [group for group, gold in zip(groups, golds, strict=True) if gold]
    outside = [group for group, gold in zip(groups, golds, strict=True) if not gold]
    compared(f"answer F1, n = {there.sum()}", f1s, inside)
    compared("exact match", exacts, inside)
    compared(
        f"refused of the unanswerable, n = {(~there).sum()}", [r[~there] for r in refused], outside
    )
    compared("refused of the answerable", [r[there] for r in refused], inside)


def threshold(book: Textbook, contestant: Contestant) -> float:
    """The confidence below which a tenth of the answerable lies."""
    lessons = [each for each in written_lessons(book)["asked"] if each.spans]
    here = [contestant.read(each.text, each.page).here for each in lessons]
    return float(np.quantile(here, OVER_REFUSAL))


def relevance(part: Textbook, both: Sequence[Contestant]) -> None:
    lessons = written_lessons(part)
    nearest: dict[str, Lesson] = {}
    for each in lessons["strange"]:
        nearest.setdefault(each.text, each)
    shown = [*lessons["asked"], *nearest.values()]
    labels = np.array([bool(each.relevant) for each in shown])
    scores = [
        np.array([each.read(lesson.text, lesson.page).relevance for lesson in shown])
        for each in both
    ]
    ranked(f"relevance AUROC, n = {len(shown)}", labels, scores, [each.page for each in shown])


def support(part: Textbook, both: Sequence[Contestant]) -> None:
    lessons = written_lessons(part)["claims"]
    truth = np.array([each.support for each in lessons])
    said = [
        np.array([SUPPORTS.index(each.support(lesson.text, lesson.page)) for lesson in lessons])
        for each in both
    ]
    groups = [each.passage for each in part.claims]
    scored(f"support macro-F1, n = {len(truth)}", macro_f1, truth, said, groups)
    for index, name in enumerate(SUPPORTS):
        told = " ".join(f"{np.mean(each[truth == index] == index):.2f}" for each in said)
        print(f"    recall of {name}: {told}")


def need(part: Textbook, validation: Textbook, both: Sequence[Contestant]) -> None:
    labels = np.array([each.need == "retrieve" for each in part.prompts])
    scores = [np.array([c.need(each.prompt) for each in part.prompts]) for c in both]
    ids = [each.id for each in part.prompts]
    right = []
    for contestant, found in zip(both, scores, strict=True):
        known = np.array([each.need == "retrieve" for each in validation.prompts])
        seen = np.array([contestant.need(each.prompt) for each in validation.prompts])
        cuts = np.unique(seen)
        cut = cuts[int(np.argmax([np.mean((seen >= value) == known) for value in cuts]))]
        right.append((found >= cut) == labels)
    compared(f"decision accuracy, n = {len(labels)}", right, ids)
    ranked("decision AUROC", labels, scores, ids)
    print("    ECE, uncalibrated: " + " ".join(
        f"{expected_calibration_error(labels, found):.3f}" for found in scores))  # fmt: skip
    languages = np.array([each.language for each in part.prompts])
    for language in np.unique(languages):
        chosen = languages == language
        told = " ".join(f"{np.mean(each[chosen]):.3f}" for each in right)
        print(f"    accuracy in {language}, n = {chosen.sum()}: {told}")


def pace(part: Textbook, reader: PairReader) -> None:
    """Ten pages of some 200 words."""
    pages = sorted(part.pages, key=lambda page: abs(len(page.text.split()) - 200))[:10]
    spent = []
    for _ in range(7):
        started = perf_counter()
        for page in pages:
            reader.point("Who is responsible for it, and from when on?", page.text)
        spent.append(1000 * (perf_counter() - started))
    print(f"ten pages: {np.median(spent):.0f} ms (median of 7), {min(spent):.0f} at best")


# --- lines --------------------------------------------------------------------------------------


def compared(name: str, values: Sequence[Sequence[float]], groups: Sequence[str]) -> None:
    """The means of both, and their paired difference."""
    first, second = (np.asarray(each, np.float64) for each in values)
    told = [bootstrap(np.mean, each, groups=groups) for each in (first, second)]
    show(name, *told, paired_difference(first.tolist(), second.tolist(), groups=groups))


def ranked(
    name: str, labels: NDArray[np.bool_], scores: Sequence[Floats], groups: Sequence[str]
) -> None:
    scored(name, auroc, labels, scores, groups)


def scored(
    name: str,
    statistic: Callable[..., float],
    truth: NDArray[np.generic],
    said: Sequence[NDArray[np.generic]],
    groups: Sequence[str],
) -> None:
    """A statistic of both, and the difference on the same draws."""
    told = [bootstrap(statistic, truth, each, groups=groups) for each in said]

    def difference(truth: Floats, first: Floats, second: Floats) -> float:
        return statistic(truth, first) - statistic(truth, second)

    show(name, *told, bootstrap(difference, truth, *said, groups=groups))


def show(name: str, *estimates: Estimate | None) -> None:
    cells = "  ".join(
        f"{each.value:+.3f} [{each.low:+.3f}, {each.high:+.3f}]" if index == 2
        else f"{each.value:.3f} [{each.low:.2f}, {each.high:.2f}]"
        for index, each in enumerate(estimates)
        if each
    )  # fmt: skip
    print(f"{name:40} {cells}", flush=True)


if __name__ == "__main__":
    main()
