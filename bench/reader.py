"""How well judges read the textbook, part by part: the reader, the model in the box, the rules.

    python bench/reader.py [JUDGE …] [--split validation] [--textbook data/textbook] [--pace]

Where the answer stands (words' F1, exact match), whether it is there at all (refusals, where at
most a tenth of the answerable questions of data/textbook's validation is refused), whether a page
is the right one (AUROC; beside the question's own page the one that shares most words with it), how
far a page supports a claim (macro-F1), and whether a prompt needs a look-up (accuracy, AUROC, ECE;
by language). Each beside the last judge, as a paired difference with 95% bootstrap intervals over
pages; then the time for ten pages. Quotations are no part of a search here: for that, see
`avalan model evaluate --task grounded-qa --level T`.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avalan.data import textbook
from avalan.data.textbook import Textbook
from avalan.evaluate.fitting import OVER_REFUSAL, refusal_threshold
from avalan.evaluate.judging import Pointed, as_passage, pointed, upheld
from avalan.evaluate.metrics import (
    auroc,
    calibrated_error,
    expected_calibration_error,
    macro_f1,
)
from avalan.evaluate.statistics import bootstrap
from avalan.model.entities import GRADES
from avalan.reflection.panel import Panel, open_panel

TEXTBOOK = Path("data/textbook")

Columns = tuple[NDArray[Any], ...]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("judges", nargs="*", default=["reader", "bundled", "rules"])
    options.add_argument("--split", default="validation", choices=["train", "validation", "test"])
    options.add_argument("--textbook", type=Path, default=TEXTBOOK)
    options.add_argument("--pace", action="store_true", help="only how long ten pages take")
    given = options.parse_args()
    part = textbook.read(given.textbook).part(given.split)
    validation = textbook.read(TEXTBOOK).part("validation")
    print(f"{given.split}: {len(part.pages)} pages; {', '.join(given.judges)}")
    with ExitStack() as stack:
        panels = [stack.enter_context(open_panel(name)) for name in given.judges]
        if not given.pace:
            answers(part, validation, panels)
            support(part, panels)
            need(part, panels)
        pace(part, panels)


def answers(part: Textbook, validation: Textbook, panels: Sequence[Panel]) -> None:
    found = [list(pointed(panel.need, part)) for panel in panels]
    fitted = found if part == validation else [list(pointed(p.need, validation)) for p in panels]
    least = [
        refusal_threshold([e.confidence for e in each if e.answerable], OVER_REFUSAL)
        for each in fitted
    ]

    def some(wanted: Callable[[Pointed], bool], value: Callable[..., float]) -> list[Columns]:
        return [
            (np.array([value(e, bound) for e in each if wanted(e)], float),)
            for each, bound in zip(found, least, strict=True)
        ]

    def groups(wanted: Callable[[Pointed], bool]) -> list[str]:
        return [each.group for each in found[0] if wanted(each)]

    def there(each: Pointed) -> bool:
        return each.answerable

    def lacking(each: Pointed) -> bool:
        return each.own and not each.answerable

    def refused(each: Pointed, bound: float) -> float:
        return each.confidence < bound

    show("answer F1", np.mean, some(there, lambda each, _: each.f1), groups(there))
    show("exact match", np.mean, some(there, lambda each, _: each.exact), groups(there))
    show("refused, unanswerable", np.mean, some(lacking, refused), groups(lacking))
    show("refused, answerable", np.mean, some(there, refused), groups(there))
    scores = [
        (np.array([e.answerable for e in each]), np.array([e.relevance for e in each]))
        for each in found
    ]
    show("relevance AUROC", auroc, scores, [each.group for each in found[0]])


def support(part: Textbook, panels: Sequence[Panel]) -> None:
    found = [list(upheld(panel.need, part)) for panel in panels]
    said = [(np.array([e.grade for e in each]), np.array([e.said for e in each])) for each in found]
    show("support macro-F1", macro_f1, said, [each.group for each in found[0]])
    for index, name in enumerate(GRADES):
        told = "  ".join(f"{np.mean(said[truth == index] == index):.3f}" for truth, said in said)
        print(f"    recall of {name}: {told}")


def need(part: Textbook, panels: Sequence[Panel]) -> None:
    """Probabilities are calibrated, and decisions taken at the threshold of the calibration."""
    labels = np.array([each.need == "retrieve" for each in part.prompts])
    said = [np.array([p.need.need(each.prompt) for each in part.prompts]) for p in panels]
    ids = [each.id for each in part.prompts]
    bounds = [panel.thresholds.need for panel in panels]
    right = [(each >= bound) == labels for each, bound in zip(said, bounds, strict=True)]
    show("decision accuracy", np.mean, [(each.astype(float),) for each in right], ids)
    show("decision AUROC", auroc, [(labels, each) for each in said], ids)
    errors = [expected_calibration_error(labels, each) for each in said]
    chance = [calibrated_error(each) for each in said]
    told = (f"{error:.3f} ({luck:.3f})" for error, luck in zip(errors, chance, strict=True))
    print("    ECE (of chance alone): " + "  ".join(told))
    languages = np.array([each.language for each in part.prompts])
    for language in np.unique(languages):
        chosen = languages == language
        each = [(f"{np.mean(r[chosen]):.3f}", f"{auroc(labels[chosen], s[chosen]):.3f}")
                for r, s in zip(right, said, strict=True)]  # fmt: skip
        told = "  ".join(f"{accuracy} / {area}" for accuracy, area in each)
        print(f"    accuracy / AUROC in {language}, n = {chosen.sum()}: {told}")


def pace(part: Textbook, panels: Sequence[Panel]) -> None:
    """Ten pages of some 200 words, in turns."""
    pages = sorted(part.pages, key=lambda page: abs(len(page.text.split()) - 200))[:10]
    passages = [as_passage(page) for page in pages]
    spent: dict[str, list[float]] = {panel.name: [] for panel in panels}
    for _ in range(7):
        for panel in panels:
            started = perf_counter()
            for passage in passages:
                panel.reading.read("Who is responsible for it, and from when on?", passage)
            spent[panel.name].append(1000 * (perf_counter() - started))
    for name, each in spent.items():
        low, middle, high = np.quantile(each, [0, 0.5, 1])
        print(f"ten pages, {name}: {middle:.0f} ms [{low:.0f}, {high:.0f}]")


def show(
    name: str,
    statistic: Callable[..., float],
    said: Sequence[Columns],
    groups: Sequence[str],
) -> None:
    """The statistic of each judge, and its difference to the last on the same draws."""
    print(
        f"{name}, n = {len(said[0][0])}: " + "  ".join(_cells(statistic, said, groups)), flush=True
    )


def _cells(
    statistic: Callable[..., float], said: Sequence[Columns], groups: Sequence[str]
) -> Iterator[str]:
    for each in said:
        found = bootstrap(statistic, *each, groups=groups)
        assert found is not None
        yield f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"
    *others, last = said
    for each in others:
        num = len(each)

        def difference(*both: NDArray[Any], num: int = num) -> float:
            return statistic(*both[:num]) - statistic(*both[num:])

        found = bootstrap(difference, *each, *last, groups=groups)
        assert found is not None
        yield f"{found.value:+.3f} [{found.low:+.2f}, {found.high:+.2f}]"


if __name__ == "__main__":
    main()
