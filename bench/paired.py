"""What no single table of `avalan model evaluate` has: differences of figures, and prompts pooled.

    python bench/paired.py grounded.json [decision.json …]

Reads what `--json` gave. Of grounded-qa: how much more of the words and how much less area under
risk and coverage the first panel has than each other, paired, pages drawn together. Of
retrieval-decision: the first panel over the prompts of all levels and files.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from avalan.evaluate.metrics import auroc, calibrated_error, expected_calibration_error
from avalan.evaluate.selective import aurc
from avalan.evaluate.statistics import Estimate, bootstrap, paired_difference, proportion


def main() -> None:
    pooled: list[dict[str, Any]] = []
    for name in sys.argv[1:]:
        told = json.loads(Path(name).read_text(encoding="utf-8"))
        if told["task"] == "retrieval-decision":
            pooled += [each for level in told["levels"] for each in level["examples"]]
        else:
            for level in told["levels"]:
                compare(f"{Path(name).name}, {level['level']}", level["examples"])
    if pooled:
        decisions(pooled)


def compare(what: str, examples: list[dict[str, Any]]) -> None:
    """The first panel against each other one: words where there are some to say, and all risks."""
    first, *others = examples[0]["results"]
    asked = [each for each in examples if each["answers"]]
    for other in others:
        words = paired_difference(
            *([each["results"][name]["f1"] for each in asked] for name in (first, other)),
            groups=[each["page"] for each in asked],
        )
        columns = (given([each["results"][name] for each in examples]) for name in (first, other))
        risk = bootstrap(area, *columns, groups=[each["page"] for each in examples])
        print(f"{what}: {first} - {other}: words' F1 {shown(words)}, AURC {shown(risk)}")


def given(rows: list[dict[str, Any]]) -> Any:
    """Of each question: whether it was answered, whether rightly, and how confidently, (n, 3)."""
    found = [(e["answer"] is not None, e["score"] == 1, e["confidence"] or 0.0) for e in rows]
    return np.array(found, np.float64)


def area(mine: Any, theirs: Any) -> float:
    """How much larger the first one's area is, each over what it answered."""
    first, second = (
        aurc(rows[rows[:, 0] == 1, 1], rows[rows[:, 0] == 1, 2]) for rows in (mine, theirs)
    )
    return first - second


def decisions(prompts: list[dict[str, Any]]) -> None:
    """Accuracy, AUROC and calibration of the first panel."""
    first = next(iter(prompts[0]["results"]))
    labels = [each["retrieve"] for each in prompts]
    said = [each["results"][first]["probability"] for each in prompts]
    right = proportion([each["results"][first]["score"] == 1 for each in prompts])
    print(f"{first}, {len(prompts):,} prompts: accuracy {shown(right, '.3f')}", end=", ")
    print(f"AUROC {auroc(labels, said):.3f}", end=", ")
    print(f"ECE {expected_calibration_error(labels, said):.3f}", end=" ")
    print(f"(by chance {calibrated_error(said):.3f})")


def shown(found: Estimate | None, form: str = "+.3f") -> str:
    assert found is not None
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


if __name__ == "__main__":
    main()
