"""Tokens per second of our decode loop on both engines, beside `transformers.generate`.

    python bench/decode.py [--rounds 5] [--new-tokens 128] [--threads 2]

The same random Llama for all, of about 4M and 30M weights; batch 1, greedy, no end token. The
contestants take turns within each round, so that a slow moment of the machine hits all of them, and
each ratio is formed within its round. Printed: median (least to most) over the rounds.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
import transformers

from avalan import testing
from avalan.compress.export import Precision, export
from avalan.model.decode.loop import decode
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings, Message
from avalan.model.load import Model, open_model
from avalan.model.nlp.text import TextGenerationModel

SHAPES: dict[str, dict[str, Any]] = {
    "4M": {"hidden_size": 192, "num_hidden_layers": 8, "intermediate_size": 512, "head_dim": 48},
    "30M": {"hidden_size": 512, "num_hidden_layers": 8, "intermediate_size": 1536, "head_dim": 64},
}
HEADS = {"4M": (4, 2), "30M": (8, 4)}
PEER = "transformers.generate"
PROMPT = [Message(role="user", content="Where is the library? " * 4)]
Contestant = Callable[[], float]
"""Generates once; returns tokens per second, the prompt's time included."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--new-tokens", type=int, default=128)
    options.add_argument("--threads", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    transformers.utils.logging.disable_progress_bar()
    for size in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            contestants = build(size, Path(folder), given.new_tokens, given.threads)
            report(size, run(contestants, given.rounds))


def build(size: str, folder: Path, num_tokens: int, threads: int) -> dict[str, Contestant]:
    heads, kv_heads = HEADS[size]
    shape = SHAPES[size] | {"num_attention_heads": heads, "num_key_value_heads": kv_heads}
    source = testing.pico_llama(
        folder / "llama", vocab_size=4096, max_position_embeddings=512, eos_token_id=None, **shape
    )
    settings = EngineSettings(num_threads=threads)

    def exported(precision: Precision) -> Model:
        return open_model(
            str(export(source, folder / precision, precision=precision).folder), settings
        )

    fp32, int8, int4 = exported("fp32"), exported("int8"), exported("int4")
    return {
        PEER: peer(source, fp32, num_tokens),
        "our loop, transformers": ours(open_model(str(source), settings), num_tokens),
        "our loop, onnx fp32": ours(fp32, num_tokens),
        "our loop, onnx int8": ours(int8, num_tokens),
        "our loop, onnx int4": ours(int4, num_tokens),
        "our stream, onnx int8": streamed(int8, num_tokens),
    }


def peer(source: Path, model: Model, num_tokens: int) -> Contestant:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    theirs.generation_config.eos_token_id = None
    ids = torch.tensor([model.tokenizer.encode_chat(PROMPT)])
    mask = torch.ones_like(ids)

    def once() -> None:
        found = theirs.generate(
            ids, attention_mask=mask, max_new_tokens=num_tokens, do_sample=False, pad_token_id=0
        )
        assert found.shape[1] == ids.shape[1] + num_tokens

    return lambda: timed(once, num_tokens)


def ours(model: Model, num_tokens: int) -> Contestant:
    ids = model.tokenizer.encode_chat(PROMPT)
    settings = GenerationSettings(max_new_tokens=num_tokens)

    def once() -> None:
        engine = model.stepping
        tokens = decode(
            engine,
            engine.start(),
            ids,
            tokenizer=model.tokenizer,
            settings=settings,
            report=GenerationReport(),
            eos_ids=(),
        )
        assert sum(1 for _ in tokens) == num_tokens

    return lambda: timed(once, num_tokens)


def streamed(model: Model, num_tokens: int) -> Contestant:
    settings = GenerationSettings(max_new_tokens=num_tokens)

    async def once() -> float:
        with TextGenerationModel(model) as lm:
            started = perf_counter()
            stream = await lm(PROMPT, settings=settings)
            count = len([token async for token in stream])
            return count / (perf_counter() - started)

    return lambda: asyncio.run(once())


def timed(once: Callable[[], None], num_tokens: int) -> float:
    started = perf_counter()
    once()
    return num_tokens / (perf_counter() - started)


def run(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    for contestant in contestants.values():
        contestant()
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            speeds[name].append(contestant())
    return speeds


def report(size: str, speeds: dict[str, list[float]]) -> None:
    print(f"\n{size:24} {'tokens/s':>24} {'times ' + PEER:>36}")
    for name, values in speeds.items():
        ratios = [own / other for own, other in zip(values, speeds[PEER], strict=True)]
        print(f"{name:24} {spread(values, '.0f'):>24} {spread(ratios, '.2f'):>36}")


def spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
