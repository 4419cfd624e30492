"""Many prompts at once: our batches beside vLLM over HTTP, on the same processor.

    AVALAN_VLLM=~/vllm/bin/python python bench/served.py [--pairs 5] [--threads 2] [--sizes 5M,30M]

As the part `batch` of bench/engines.py: Llamas of random weights in fp32, 8 and 32 prompts of 16 to
96 tokens, 48 tokens each. vLLM runs in a server of its own, started once for each model, and gets
each prompt as a request of its own, all at the same time. Printed: our speed, its share of the
memory bandwidth, and the median ratio of our speed to vLLM's with a 95% bootstrap interval.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from avalan.model.engine import GeneratingEngine, load_engine
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings
from avalan.model.load import open_model
from engines import Side, prompt_of, report, source, together

NUM_TOKENS = 48


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=5)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--sizes", default="5M,30M")
    given = options.parse_args()
    if "AVALAN_VLLM" not in os.environ:
        print("AVALAN_VLLM names no vLLM: see docs/vllm.md")
        return
    torch.set_num_threads(given.threads)
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = f"0-{given.threads - 1}"
    print(f"pairs {given.pairs}, threads {given.threads}", flush=True)
    for size in given.sizes.split(","):
        with tempfile.TemporaryDirectory() as folder:
            measure(size, source("Llama", size, Path(folder)), given.threads, given.pairs)


def measure(size: str, path: Path, threads: int, pairs: int) -> None:
    """Run the pairs of one model; two lines."""
    size_bytes = (path / "model.safetensors").stat().st_size
    peer = load_engine("vllm", path, EngineSettings(weight_type="fp32"))
    assert isinstance(peer, GeneratingEngine)
    settings = EngineSettings(engine="transformers", num_threads=threads)
    try:
        with open_model(str(path), settings) as model:
            for count in (8, 32):
                prompts = [prompt_of(16 + 80 * i // count, seed=i) for i in range(count)]
                ours = together(model, prompts, NUM_TOKENS, count)
                theirs = served(peer, prompts)
                report(f"{size} {count} : vLLM", size_bytes // count, ours, theirs, pairs)
    finally:
        peer.close()


def served(engine: GeneratingEngine, prompts: Sequence[Sequence[int]]) -> Side:
    settings = GenerationSettings(max_new_tokens=NUM_TOKENS)

    def ask(prompt: Sequence[int]) -> int:
        return sum(1 for _ in engine.generate(prompt, settings, GenerationReport()))

    def once() -> int:
        with ThreadPoolExecutor(len(prompts)) as pool:
            return sum(pool.map(ask, prompts))

    return once


if __name__ == "__main__":
    main()
