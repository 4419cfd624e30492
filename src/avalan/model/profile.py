"""What a model costs on this machine: each engine that can run it, in a process of its own."""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from statistics import median
from time import perf_counter

from avalan import extras
from avalan.errors import AvalanError, ModelError
from avalan.hub.folder import find_onnx_decoder
from avalan.hub.formats import GGUF
from avalan.model.decode.loop import decode
from avalan.model.engine import SteppingEngine
from avalan.model.entities import EngineSettings, GenerationReport, GenerationSettings
from avalan.model.generate import generate
from avalan.model.load import Model, find_folder, open_model

_PACKAGES = {"transformers": "torch", "gguf": "llama_cpp"}
_TEXT = "the quick brown fox jumps over the lazy dog near the river bank "


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one engine took; of several runs the median."""

    engine: str
    load_s: float
    """To load the model, the engine's libraries included."""
    ttft_s: float
    """From the prompt to the first token."""
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    memory_bytes: int | None
    """The most that its process took; None for a server's, and where the system does not tell."""


def candidates(name: str, settings: EngineSettings) -> list[str]:
    """The engines that the model's files are for and that are installed.

    Raises:
        ModelError: there is no such model.
    """
    folder = find_folder(name, settings)
    found = []
    if folder.suffix == GGUF:
        found = ["gguf"]
    else:
        found += ["onnx"] if find_onnx_decoder(folder) is not None else []
        found += ["transformers"] if any(folder.glob("*.safetensors")) else []
    return [each for each in found if extras.is_installed(_PACKAGES.get(each, "onnxruntime"))]


def profiles(
    name: str, engines: list[str], settings: EngineSettings, *, num_prompt: int, num_new: int,
    num_runs: int,
) -> Iterator[Profile | AvalanError]:  # fmt: skip
    """Measure the engines one after the other; what one cannot do stops no other."""
    for engine in engines:
        chosen = replace(settings, engine=engine)
        # Libraries that are loaded, and memory that was taken, cannot be given back otherwise.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            done = process.submit(measure, name, chosen, num_prompt, num_new, num_runs)
            try:
                yield done.result()
            except AvalanError as error:
                yield error


def measure(
    name: str, settings: EngineSettings, num_prompt: int, num_new: int, num_runs: int
) -> Profile:
    """Load the model with the engine of `settings` and answer a text of `num_prompt` tokens.

    Raises:
        AvalanError: the engine cannot run it.
    """
    started = perf_counter()
    with open_model(name, settings) as model:
        load_s = perf_counter() - started
        prompt = (model.tokenizer.encode(_TEXT) * num_prompt)[:num_prompt]
        _run(model, prompt, num_new)  # What is only slow once.
        reports = [_run(model, prompt, num_new) for _ in range(num_runs)]
    ttft_s = median(report.timings.ttft_s for report in reports)
    return Profile(
        engine=settings.engine,
        load_s=load_s,
        ttft_s=ttft_s,
        prefill_tokens_per_s=num_prompt / ttft_s,
        decode_tokens_per_s=median(report.tokens_per_s for report in reports),
        memory_bytes=_peak_bytes() if isinstance(model.engine, SteppingEngine) else None,
    )


def _run(model: Model, prompt: list[int], num_new: int) -> GenerationReport:
    report = GenerationReport()
    settings = GenerationSettings(max_new_tokens=num_new)
    if isinstance(model.engine, SteppingEngine):
        engine = model.engine
        tokens = decode(
            engine,
            engine.start(),
            prompt,
            tokenizer=model.tokenizer,
            settings=settings,
            report=report,
            eos_ids=(),  # An end would make a run shorter than the others.
        )
    else:
        tokens = generate(model, prompt, settings=settings, report=report)
    num_made = sum(1 for _ in tokens)
    if num_made < 2:
        raise ModelError(
            "{engine} ended its answer after {num} tokens, which is too few to tell its speed.",
            engine=model.engine_name,
            num=num_made,
        )
    return report


def _peak_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    resource = extras.load("resource")  # Windows has none.
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
