"""The mean of two checkpoints' weights: `python scripts/mean_weights.py FIRST SECOND OUT`.

Two models that one training has come by lie in one valley, and their mean is often better than
either (Wortsman et al., 2022, arXiv:2203.05482). Everything but the weights is taken from FIRST.
"""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"


def main(first: Path, second: Path, out: Path) -> None:
    one, other = load_file(first / WEIGHTS), load_file(second / WEIGHTS)
    if {name: each.shape for name, each in one.items()} != {
        name: each.shape for name, each in other.items()
    }:
        sys.exit(f"{first} and {second} are not of one shape; give two runs of one recipe.")
    shutil.copytree(first, out, dirs_exist_ok=True)
    mean = {
        name: ((one[name].float() + other[name].float()) / 2).to(one[name].dtype) for name in one
    }
    save_file(mean, out / WEIGHTS, metadata={"format": "pt"})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
