"""Our engines beside their peers, in pairs, by the same work on both sides.

    python bench/engines.py [transformers] [onnx] [gguf] [batch] [--pairs 15] [--threads 2]
        [--sizes 30M] [--batches 32] [--new-tokens 16]

Each pair runs both sides, one right after the other, in a random order, in one process; a ratio of
speeds is formed within the pair. Both sides return the chosen tokens' log-probabilities and the ten
best alternatives of each step. Printed: our speed, its share of the memory bandwidth measured just
before (weights read for each token), and the median ratio with a 95% bootstrap interval.

* transformers: our loop beside `transformers.generate`; Llama, Qwen3, Qwen3.5; fp32 and bf16
* onnx: our loop on ONNX Runtime beside `transformers.generate` with the same weights in fp32
* gguf: our loop on llama.cpp beside `Llama.create_completion(logprobs=10)`
* batch: 8 and 32 prompts together, beside one by one and beside the continuous batching of
  transformers
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import numpy as np
import torch
import transformers

from avalan import testing
from avalan.compress.export import export
from avalan.hub.preflight import measure_bandwidth
from avalan.model.decode.batch import decode_batch
from avalan.model.decode.loop import decode
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings
from avalan.model.load import Model, open_model

SIZES: dict[str, dict[str, int]] = {
    "1M": {"hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 256},
    "5M": {"hidden_size": 192, "num_hidden_layers": 8, "intermediate_size": 512},
    "30M": {"hidden_size": 512, "num_hidden_layers": 8, "intermediate_size": 1536},
    "120M": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
}
VOCAB = {"1M": 4096, "5M": 4096, "30M": 4096, "120M": 16384}
NUM_TOKENS = {"1M": 64, "5M": 64, "30M": 32, "120M": 16}
MAKERS = {
    "Llama": testing.pico_llama,
    "Qwen3": testing.pico_qwen3,
    "Qwen3.5": testing.pico_qwen3_5,
}
BATCHES, NUM_BATCHED, BESIDE = (8, 32), 48, ["one", "continuous"]
NUM_ALTERNATIVES = 10
Side = Callable[[], int]
"""Generates once; how many tokens."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("parts", nargs="*", default=["transformers", "onnx", "gguf", "batch"])
    options.add_argument("--pairs", type=int, default=15)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--sizes", default="1M,5M,30M,120M")
    options.add_argument("--batches", default="8,32", help="how many prompts together")
    options.add_argument("--beside", default="one,continuous", help="what batches run beside")
    options.add_argument("--new-tokens", type=int, default=48, help="after each of them")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    sizes = given.sizes.split(",")
    global BATCHES, NUM_BATCHED, BESIDE
    BATCHES, NUM_BATCHED = tuple(map(int, given.batches.split(","))), given.new_tokens
    BESIDE = given.beside.split(",")
    for part in given.parts:
        print(f"\n{part}: pairs {given.pairs}, threads {given.threads}", flush=True)
        for name, size_bytes, ours, theirs in PARTS[part](sizes, given.threads):
            report(name, size_bytes, ours, theirs, given.pairs)


def report(name: str, size_bytes: int, ours: Side, theirs: Side, pairs: int) -> None:
    """Run the pairs and print one line."""
    ours(), theirs()
    random, speeds = Random(0), []
    for _ in range(pairs):
        order = [(0, ours), (1, theirs)]
        random.shuffle(order)
        pair = [0.0, 0.0]
        for index, side in order:
            started = perf_counter()
            pair[index] = side() / (perf_counter() - started)
        speeds.append(pair)
    own, ratios = np.array(speeds)[:, 0], np.array([a / b for a, b in speeds])
    draws = np.random.default_rng(0).choice(ratios, (2000, pairs))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    share = np.median(own) * size_bytes / measure_bandwidth()
    print(
        f"{name:34} {np.median(own):8.0f} tokens/s {share:5.0%} of bandwidth   "
        f"{np.median(ratios):5.2f} [{low:.2f}, {high:.2f}]",
        flush=True,
    )


# --- the sides -------------------------------------------------------------------------------


def our_loop(model: Model, ids: list[int], num_tokens: int) -> Side:
    settings = GenerationSettings(max_new_tokens=num_tokens, num_alternatives=NUM_ALTERNATIVES)

    def once() -> int:
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
        return sum(len(token.alternatives) > 0 for token in tokens)

    return once


def generate_side(model: Any, ids: list[int], num_tokens: int) -> Side:
    prompt = torch.tensor([ids])
    mask = torch.ones_like(prompt)

    def once() -> int:
        found = model.generate(
            prompt,
            attention_mask=mask,
            max_new_tokens=num_tokens,
            do_sample=False,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        new = found.sequences[0, len(ids) :]
        for logits, token_id in zip(found.logits, new, strict=True):
            logprobs = logits[0].float().log_softmax(-1)
            _best = logprobs.topk(NUM_ALTERNATIVES), float(logprobs[token_id])
        return len(new)

    return once


def completion_side(model: Any, ids: list[int], num_tokens: int) -> Side:
    def once() -> int:
        found = model.create_completion(
            ids, max_tokens=num_tokens, temperature=0.0, logprobs=NUM_ALTERNATIVES
        )
        return int(found["usage"]["completion_tokens"])

    return once


def together(model: Model, prompts: list[list[int]], num_tokens: int, batch_size: int) -> Side:
    settings = GenerationSettings(max_new_tokens=num_tokens)

    def once() -> int:
        answers = decode_batch(
            model.stepping,
            prompts,
            tokenizer=model.tokenizer,
            settings=settings,
            batch_size=batch_size,
        )
        return sum(len(answer.tokens) for _, answer in answers)  # type: ignore[union-attr]

    return once


def continuous(model: Any, prompts: list[list[int]], num_tokens: int) -> Side:
    config = transformers.GenerationConfig(
        max_new_tokens=num_tokens, do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    # As tuned in a search over its settings; its defaults are slower on a processor.
    batching = transformers.ContinuousBatchingConfig(num_blocks=64, max_batch_tokens=256)

    def once() -> int:
        found = model.generate_batch(
            inputs=prompts, generation_config=config, continuous_batching_config=batching
        )
        return sum(len(each.generated_tokens) for each in found.values())

    return once


# --- the parts -------------------------------------------------------------------------------


def source(kind: str, size: str, folder: Path) -> Path:
    shape: dict[str, Any] = {**SIZES[size], "vocab_size": VOCAB[size]}
    heads = max(shape["hidden_size"] // 64, 2)
    shape |= {"num_attention_heads": heads, "num_key_value_heads": heads // 2, "head_dim": 64}
    more: dict[str, Any] = {"max_position_embeddings": 1024, "eos_token_id": None}
    return MAKERS[kind](folder / f"{kind}-{size}", **shape, **more)


def peer_of(folder: Path, dtype: torch.dtype) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model.generation_config.eos_token_id = None
    return model


def prompt_of(length: int, seed: int = 0) -> list[int]:
    random = Random(seed)
    return [random.randrange(10, 300) for _ in range(length)]


def with_transformers(sizes: list[str], threads: int) -> Iterator[tuple[str, int, Side, Side]]:
    for size in sizes:
        for kind in MAKERS:
            with tempfile.TemporaryDirectory() as folder:
                path = source(kind, size, Path(folder))
                for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
                    peer = peer_of(path, dtype)
                    settings = EngineSettings(
                        engine="transformers", weight_type=name, num_threads=threads
                    )
                    num = NUM_TOKENS[size]
                    with open_model(str(path), settings) as model:
                        yield (
                            f"{size} {kind} {name}",
                            peer.num_parameters() * dtype.itemsize,
                            our_loop(model, prompt_of(32), num),
                            generate_side(peer, prompt_of(32), num),
                        )


def with_onnx(sizes: list[str], threads: int) -> Iterator[tuple[str, int, Side, Side]]:
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = source("Llama", size, Path(folder))
            peer, num = peer_of(path, torch.float32), NUM_TOKENS[size]
            for precision in ("fp32", "int8", "int4"):
                made = export(path, Path(folder) / precision, precision=precision).folder
                with open_model(str(made), EngineSettings(num_threads=threads)) as model:
                    yield (
                        f"{size} Llama {precision} : fp32",
                        (made / "model.onnx").stat().st_size,
                        our_loop(model, prompt_of(32), num),
                        generate_side(peer, prompt_of(32), num),
                    )


def with_gguf(sizes: list[str], threads: int) -> Iterator[tuple[str, int, Side, Side]]:
    import llama_cpp

    for size in sizes:
        for kind in MAKERS:
            with tempfile.TemporaryDirectory() as folder:
                path = source(kind, size, Path(folder))
                file = testing.pico_gguf(Path(folder), path, weight_type="f16")
                peer = llama_cpp.Llama(
                    str(file), n_ctx=1024, n_threads=threads, logits_all=True, verbose=False
                )
                num = NUM_TOKENS[size] * 2
                with open_model(str(file), EngineSettings(num_threads=threads)) as model:
                    yield (
                        f"{size} {kind} f16",
                        file.stat().st_size,
                        our_loop(model, prompt_of(32), num),
                        completion_side(peer, prompt_of(32), num),
                    )


def with_batches(sizes: list[str], threads: int) -> Iterator[tuple[str, int, Side, Side]]:
    for size in [size for size in sizes if size in ("5M", "30M")]:
        with tempfile.TemporaryDirectory() as folder:
            path = source("Llama", size, Path(folder))
            peer, num = peer_of(path, torch.float32), NUM_BATCHED
            settings = EngineSettings(engine="transformers", num_threads=threads)
            with open_model(str(path), settings) as model:
                for count in BATCHES:
                    prompts = [prompt_of(16 + 80 * i // count, seed=i) for i in range(count)]
                    ours = partial(together, model, prompts, num)
                    weights = peer.num_parameters() * 4 // count
                    if "one" in BESIDE:
                        yield f"{size} {count} : one by one", weights, ours(count), ours(1)
                    if "continuous" in BESIDE:
                        beside = continuous(peer, prompts, num)
                        yield f"{size} {count} : continuous batching", weights, ours(count), beside


PARTS = {
    "transformers": with_transformers,
    "onnx": with_onnx,
    "gguf": with_gguf,
    "batch": with_batches,
}

if __name__ == "__main__":
    main()
