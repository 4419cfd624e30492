"""Fit the router in the box: python scripts/router.py

A ridge-penalised logistic regression on the vectors of the textbook's training prompts, by the
embedder in the box; the penalty is the best of a few by cross-fitting on those prompts alone.
"""

import json
from pathlib import Path
from random import Random

import numpy as np

from avalan.data import textbook
from avalan.evaluate.metrics import auroc
from avalan.model.nlp.sentence import open_embedder
from avalan.reflection.calibrate import Calibrator, fit

ROOT = Path(__file__).parents[1]
OUT = ROOT / "src" / "avalan" / "reflection" / "router.json"
PENALTIES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0)
NUM_FOLDS = 5


def main() -> None:
    """Fit, say how well, and write."""
    prompts = textbook.read(ROOT / "data" / "textbook").part("train").prompts
    labels = [prompt.need == "retrieve" for prompt in prompts]
    vectors = open_embedder().embed([prompt.prompt for prompt in prompts], kind="query")
    rows = [{f"{i:03}": float(value) for i, value in enumerate(vector)} for vector in vectors]
    order = list(range(len(rows)))
    Random(0).shuffle(order)
    fold = {number: place % NUM_FOLDS for place, number in enumerate(order)}

    def fitted(numbers: list[int], penalty: float) -> Calibrator:
        chosen = [rows[i] for i in numbers], [labels[i] for i in numbers]
        return fit(*chosen, ridge=penalty)

    def crossed(penalty: float) -> float:
        said = np.zeros(len(rows))
        for held_out in range(NUM_FOLDS):
            kept = [i for i in order if fold[i] != held_out]
            calibrator = fitted(kept, penalty)
            for i in order:
                if fold[i] == held_out:
                    said[i] = calibrator(rows[i])
        return auroc(labels, said)

    found = {penalty: crossed(penalty) for penalty in PENALTIES}
    best = max(found, key=lambda penalty: found[penalty])
    for penalty, score in found.items():
        print(f"penalty {penalty:g}: AUROC {score:.4f}" + " *" * (penalty == best))
    router = fitted(order, best)
    weights = [round(router.weights[name], 4) for name in sorted(router.weights)]
    OUT.write_text(json.dumps({"weights": weights, "bias": round(router.bias, 4)}) + "\n")
    print(f"Wrote {OUT.name}: {len(rows):,} prompts, {len(weights)} weights.")


if __name__ == "__main__":
    main()
