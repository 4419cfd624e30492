"""A model written as GGUF is the same model in llama.cpp, to the last token and the last digit.

What needs llama.cpp itself is skipped where it is not installed; the rest reads the files.
"""

import json
import resource
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from gguf import GGMLQuantizationType, GGUFReader, TokenType
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers, trainers

from avalan import testing
from avalan.compress import gguf_tensors
from avalan.compress.checkpoint import read_weights
from avalan.compress.fidelity import compare
from avalan.compress.gguf import WeightType, export_gguf
from avalan.compress.gguf_shape import read_shape
from avalan.errors import ConfigurationError, ModelError, StateError
from avalan.model.engine import SteppingEngine, load_engine
from avalan.model.entities import EngineSettings

IDS = [int(i) for i in np.random.default_rng(5).integers(5, 384, 200)]
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
YARN["original_max_position_embeddings"] = 64
LLAMA3_SCALING = YARN | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
GROUPS = {"linear_num_key_heads": 2, "linear_num_value_heads": 6}
ALTERNATING = ["linear_attention", "full_attention"] * 2

VARIANTS: dict[str, tuple[Callable[..., Path], dict[str, Any]]] = {
    "llama": (testing.pico_llama, {}),
    "llama, untied": (testing.pico_llama, {"tie_word_embeddings": False}),
    "llama, one query per key": (testing.pico_llama, {"num_key_value_heads": 4}),
    "llama, wide heads": (testing.pico_llama, {"head_dim": 32}),
    "llama, far positions": (testing.pico_llama, {"rope_theta": 5e5, "rope_parameters": None}),
    "llama, linear scaling": (testing.pico_llama, {"rope_parameters": LINEAR}),
    "llama, yarn": (testing.pico_llama, {"rope_parameters": YARN}),
    "llama, yarn with a factor": (
        testing.pico_llama,
        {"rope_parameters": YARN | {"attention_factor": 0.7}},
    ),
    "llama 3.1": (testing.pico_llama, {"rope_parameters": LLAMA3_SCALING}),
    "qwen3": (testing.pico_qwen3, {}),
    "qwen3, untied": (testing.pico_qwen3, {"tie_word_embeddings": False}),
    "qwen3, yarn": (testing.pico_qwen3, {"rope_parameters": YARN}),
    "qwen3.5": (testing.pico_qwen3_5, {}),
    "qwen3.5, three values per key": (testing.pico_qwen3_5, GROUPS),
    "qwen3.5, layers in turn": (testing.pico_qwen3_5, {"layer_types": ALTERNATING}),
    "qwen3.5, one value per key": (testing.pico_qwen3_5, {"linear_num_value_heads": 2}),
}


def run_by_transformers(folder: Path) -> tuple[NDArray[np.float32], list[int]]:
    """The logits after every one of `IDS`, and the 32 likeliest tokens after the first eight."""
    engine = load_engine("transformers", folder, EngineSettings(num_threads=1))
    assert isinstance(engine, SteppingEngine)
    logits = engine.feed(engine.start(), IDS, every=True)
    state = engine.start()
    row = engine.feed(state, IDS[:8])
    said = []
    for _ in range(32):
        said.append(int(row.argmax()))
        row = engine.feed(state, said[-1:])
    return logits, said


@contextmanager
def open_in_llama_cpp(file: Path, **options: Any) -> Iterator[Any]:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    # 0 is 32 bits for keys and values, and -1 asks for what the file says.
    exact: dict[str, Any] = {"logits_all": True, "type_k": 0, "type_v": 0, "yarn_attn_factor": -1.0}
    model = llama_cpp.Llama(str(file), n_ctx=256, n_threads=1, verbose=False, **exact | options)
    try:
        yield model
    finally:
        model.close()


def run_by_llama_cpp(file: Path) -> tuple[NDArray[np.float32], list[int]]:
    """As `run_by_transformers`."""
    with open_in_llama_cpp(file) as model:
        model.eval(IDS)
        logits = np.array(model.scores[: len(IDS)])
        model.reset()
        model.eval(IDS[:8])
        said: list[int] = []
        for _ in range(32):
            said.append(int(model.scores[model.n_tokens - 1].argmax()))
            model.eval(said[-1:])
    return logits, said


def make(folder: Path, variant: str, **more: Any) -> Path:
    build, config = VARIANTS[variant]
    return disturb(build(folder, seed=3, **config | more))


def disturb(folder: Path) -> Path:
    """Change norms and biases: they begin as constants, in which no order shows."""
    random = np.random.default_rng(3)
    small = {name: values for name, values in read_weights(folder).items() if values.ndim == 1}
    noise = {name: random.normal(0, 0.3, values.shape) for name, values in small.items()}
    add_weights(folder, {name: small[name] + noise[name] for name in small})
    return folder


def add_weights(folder: Path, more: dict[str, NDArray[Any]]) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    weights = read_weights(folder) | {n: values.astype(np.float32) for n, values in more.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_32_bits_llama_cpp_computes_what_transformers_does(tmp_path: Path, variant: str) -> None:
    folder = make(tmp_path / "pico", variant)
    logits, said = run_by_llama_cpp(testing.pico_gguf(tmp_path, folder))
    expected, expected_said = run_by_transformers(folder)
    # Measured: at most 2e-10; with a row in the wrong place, more than 1e-3.
    assert compare(expected, logits).mean_kl < 1e-6
    assert said == expected_said


@pytest.mark.parametrize(
    ("variant", "weight_type", "most"),
    [
        ("llama", "f16", 1e-4),
        ("qwen3", "f16", 1e-4),
        ("qwen3.5", "f16", 1e-4),
        ("llama", "bf16", 1e-3),
    ],
)
def test_in_16_bits_it_stays_near(
    tmp_path: Path, variant: str, weight_type: WeightType, most: float
) -> None:
    # Recurrent layers of larger weights would multiply each rounding.
    smaller = {} if variant == "llama" else {"initializer_range": 0.1}
    folder = make(tmp_path / "pico", variant, **smaller)
    logits, _said = run_by_llama_cpp(
        export_gguf(folder, tmp_path / "model.gguf", weight_type=weight_type)
    )
    assert 0 < compare(run_by_transformers(folder)[0], logits).mean_kl < most


def test_llama_with_biases_and_qwen2_keep_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    transformers.utils.logging.disable_progress_bar()
    sizes = {"vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    counts = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    common = sizes | counts | {"initializer_range": 0.2, "max_position_embeddings": 256}
    for name, more in ("Llama", {"attention_bias": True, "mlp_bias": True}), ("Qwen2", {}):
        folder = testing.pico_tokenizer(tmp_path / name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            config = getattr(transformers, f"{name}Config")(
                **common, bos_token_id=0, eos_token_id=1, **more
            )
            getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(folder)
        disturb(folder)
        logits, said = run_by_llama_cpp(testing.pico_gguf(folder, folder))
        expected, expected_said = run_by_transformers(folder)
        assert compare(expected, logits).mean_kl < 1e-6
        assert said == expected_said


def test_rows_of_a_head_go_from_halves_to_pairs() -> None:
    rows = np.arange(8, dtype=np.float32)
    paired = gguf_tensors._interleave_halves(rows, num_heads=2)
    assert paired.tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_value_heads_go_from_one_key_after_the_other_to_keys_in_turn() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)  # keys 0 0 0 1 1 1
    tiled = gguf_tensors._tile_heads(rows, num_groups=2, num_heads=6)
    assert (tiled[:, 0] / 2).tolist() == [0, 3, 1, 4, 2, 5]


def test_llama_3_1_divides_each_frequency_as_transformers_does(tmp_path: Path) -> None:
    utils = pytest.importorskip("transformers.modeling_rope_utils")
    transformers = pytest.importorskip("transformers")
    folder = testing.pico_llama(tmp_path, rope_parameters=LLAMA3_SCALING, head_dim=32)
    config = transformers.AutoConfig.from_pretrained(folder)
    scaled, _ = utils.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1e4 ** (-np.arange(0, 32, 2) / 32)
    factors = read_shape(folder).rope_factors()
    assert factors is not None
    assert factors.min() == 1
    assert factors.max() == 4
    np.testing.assert_allclose(factors, plain / scaled.numpy(), rtol=1e-5)


# Reading the files back.


def keys(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in GGUFReader(file).fields.items()}


def tensors(file: Path) -> dict[str, tuple[GGMLQuantizationType, tuple[int, ...]]]:
    """Type and shape by name, the shape as numpy has it."""
    return {
        tensor.name: (tensor.tensor_type, tuple(int(size) for size in reversed(tensor.shape)))
        for tensor in GGUFReader(file).tensors
    }


def test_sizes_and_constants_of_a_llama(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "tiny", num_key_value_heads=1, rms_norm_eps=2**-16)
    found = keys(export_gguf(folder, tmp_path / "out" / "model.gguf"))
    expected = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "tiny",
        "general.file_type": 1,
        "llama.block_count": 2,
        "llama.context_length": 256,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": 16,
        "llama.attention.value_length": 16,
        "llama.attention.layer_norm_rms_epsilon": 2**-16,
        "llama.rope.freq_base": 10000,
        "llama.rope.dimension_count": 16,
        "llama.vocab_size": 384,
    }
    assert {name: found[name] for name in expected} == expected
    assert not any(name.startswith("llama.rope.scaling") for name in found)


def test_the_recurrent_part_of_a_qwen3_5(tmp_path: Path, pico_qwen_folder: Path) -> None:
    found = keys(testing.pico_gguf(tmp_path, pico_qwen_folder))
    expected = {
        "qwen35.attention.recurrent_layers": [True, True, True, False],
        "qwen35.full_attention_interval": 4,
        "qwen35.rope.dimension_count": 4,
        "qwen35.rope.dimension_sections": [1, 1, 0, 0],
        "qwen35.ssm.conv_kernel": 4,
        "qwen35.ssm.state_size": 16,
        "qwen35.ssm.group_count": 2,
        "qwen35.ssm.time_step_rank": 4,
        "qwen35.ssm.inner_size": 64,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "kind"), [("Qwen2", "qwen2"), ("Qwen3", "qwen3"), ("Qwen3_5", "qwen3_5_text")]
)
def test_what_a_configuration_leaves_out_is_what_transformers_takes(
    tmp_path: Path, name: str, kind: str
) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8192, "intermediate_size": 64}
    counts = {"num_hidden_layers": 8, "num_attention_heads": 32}
    config = {"architectures": [f"{name}ForCausalLM"], "model_type": kind} | sizes | counts
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    ours, theirs = read_shape(tmp_path), transformers.AutoConfig.from_pretrained(tmp_path)
    for key in ("max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"):
        assert ours[key] == getattr(theirs, key)
    assert ours.num_kv_heads == theirs.num_key_value_heads
    assert ours.head_dim == getattr(theirs, "head_dim", 256)
    assert ours["rope_theta"] == theirs.rope_parameters["rope_theta"]
    part = theirs.rope_parameters.get("partial_rotary_factor", 1)
    assert ours.rotated_dim == ours.head_dim * part
    if name == "Qwen3_5":
        for key in (key for key in theirs.to_dict() if key.startswith("linear_")):
            assert ours[key] == getattr(theirs, key)
        recurrent = [kind == "linear_attention" for kind in theirs.layer_types]
        assert ours.recurrent_layers == recurrent


def test_heads_of_256_get_the_sections_of_qwen(tmp_path: Path) -> None:
    folder = testing.pico_qwen3_5(tmp_path, head_dim=256)
    sections = keys(testing.pico_gguf(tmp_path, folder))["qwen35.rope.dimension_sections"]
    assert sections == [11, 11, 10, 0]


@pytest.mark.parametrize("weight_type", ["f32", "f16", "bf16"])
def test_matrices_have_the_type_asked_for_and_the_rest_32_bits(
    tmp_path: Path, pico_qwen_folder: Path, weight_type: WeightType
) -> None:
    found = tensors(export_gguf(pico_qwen_folder, tmp_path / "x.gguf", weight_type=weight_type))
    kind = GGMLQuantizationType[weight_type.upper()]
    full = GGMLQuantizationType.F32
    assert found["token_embd.weight"] == (kind, (384, 64))
    assert found["blk.0.attn_qkv.weight"] == (kind, (128, 64))
    assert found["blk.3.attn_q.weight"] == (kind, (128, 64))
    assert found["blk.0.attn_norm.weight"] == (full, (64,))
    assert found["blk.0.ssm_conv1d.weight"] == (full, (128, 4))
    assert found["blk.0.ssm_a"] == (full, (4,))
    assert found["blk.0.ssm_dt.bias"] == (full, (4,))


def test_a_tied_output_is_left_out_even_where_the_checkpoint_stores_it(tmp_path: Path) -> None:
    tied, untied = (
        testing.pico_llama(tmp_path / str(tie), tie_word_embeddings=tie) for tie in (True, False)
    )
    assert "output.weight" not in tensors(testing.pico_gguf(tied, tied))
    assert tensors(testing.pico_gguf(untied, untied))["output.weight"][1] == (384, 64)
    change_config(untied, tie_word_embeddings=True)
    assert "output.weight" not in tensors(testing.pico_gguf(untied, untied))


def test_a_checkpoint_in_pieces_and_in_bfloat16_gives_the_same_values(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    folder = testing.pico_llama(tmp_path / "whole")
    weights = {
        name: torch.from_numpy(values).bfloat16() for name, values in read_weights(folder).items()
    }
    (folder / "model.safetensors").unlink()
    places = {name: f"part-{number % 3}.safetensors" for number, name in enumerate(weights)}
    for file in set(places.values()):
        part = {name: values for name, values in weights.items() if places[name] == file}
        save_file(part, folder / file)
    index = {"weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    reader = GGUFReader(export_gguf(folder, tmp_path / "x.gguf", weight_type="bf16"))
    [table] = [tensor.data for tensor in reader.tensors if tensor.name == "token_embd.weight"]
    stored = weights["model.embed_tokens.weight"].view(torch.int16).numpy()
    assert (np.array(table).view(np.int16) == stored).all()


def test_only_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico", num_hidden_layers=24, intermediate_size=2048)
    size_bytes = (folder / "model.safetensors").stat().st_size
    tracemalloc.start()
    testing.pico_gguf(tmp_path, folder)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes > 30e6
    assert peak < size_bytes / 5


# The tokenizer.


def test_the_tokenizer_is_in_the_file(tmp_path: Path) -> None:
    reflection = ["[Retrieval]", "[No Retrieval]", "[Utility:5]"]
    folder = testing.pico_llama(tmp_path / "pico", special_tokens=reflection)
    found = keys(testing.pico_gguf(tmp_path, folder))
    definition = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens, types = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    assert tokens == [definition.id_to_token(i) for i in range(384)]
    controls = [token for token, kind in zip(tokens, types, strict=True) if kind != 1]
    assert controls == [testing.BOS, testing.EOS, *testing.ROLES, *reflection]
    assert set(types) == {TokenType.NORMAL, TokenType.CONTROL}
    merges = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    assert found["tokenizer.ggml.merges"] == [" ".join(merge) for merge in merges]
    assert found["tokenizer.ggml.model"] == "gpt2"
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["tokenizer.ggml.bos_token_id"] == 0
    assert found["tokenizer.ggml.eos_token_id"] == 1
    assert found["tokenizer.ggml.add_bos_token"] is False
    assert found["tokenizer.chat_template"] == testing.CHAT_TEMPLATE


def test_every_token_that_ends_an_answer_is_named(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    generation = {"eos_token_id": [4, 1, 3]}
    (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    found = keys(testing.pico_gguf(tmp_path, folder))
    ends = [found[f"tokenizer.ggml.{role}_token_id"] for role in ("eos", "eot", "eom")]
    assert ends == [1, 4, 3]


def test_a_role_that_no_token_plays_stays_open(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico", special_tokens=["None", "null"])
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"unk_token": None}
    path.write_text(json.dumps(settings), encoding="utf-8")
    found = keys(testing.pico_gguf(tmp_path, folder))
    assert [name for name in found if name.endswith("_token_id")] == [
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id",
    ]


def test_a_larger_embedding_gets_unused_tokens(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico", vocab_size=400)
    testing.pico_tokenizer(folder, vocab_size=384)
    found = keys(testing.pico_gguf(tmp_path, folder))
    assert found["tokenizer.ggml.tokens"][384:386] == ["[PAD384]", "[PAD385]"]
    assert len(found["tokenizer.ggml.tokens"]) == 400
    assert set(found["tokenizer.ggml.token_type"][384:]) == {TokenType.UNUSED}
    assert len(set(found["tokenizer.ggml.tokens"])) == 400


def test_a_tokenizer_that_begins_every_text_says_so(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    begins = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    change_tokenizer(folder, post_processor=json.loads(begins.__getstate__()))
    assert keys(testing.pico_gguf(tmp_path, folder))["tokenizer.ggml.add_bos_token"] is True
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) | {"add_bos_token": False}
    path.write_text(json.dumps(settings), encoding="utf-8")
    assert keys(testing.pico_gguf(tmp_path, folder))["tokenizer.ggml.add_bos_token"] is False


CONTRACTIONS, SPACES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES
QWEN35 = QWEN2.replace(r"\p{L}+|\p{N}|", r"[\p{L}\p{M}]+|\p{N}|").replace(
    r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def by_regex(regex: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(tokenizers.Regex(regex), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, level])


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
RULES: dict[str, tuple[pre_tokenizers.PreTokenizer, bool]] = {
    "gpt-2": (GPT2, False),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(True), GPT2]), False),
    "qwen2": (by_regex(QWEN2), False),
    "qwen35": (by_regex(QWEN35), False),
    "llama-bpe": (by_regex(LLAMA3), True),
    "smaug-bpe": (by_regex(LLAMA3), False),
}
TEXT = (
    "I'm sure they'LL say: 'it’s 1234567 items', don't they?!!  Año 2024,  naïve e\u0301te\u0301;\n"
    "\n\tdef f(x):\n        return x ** 2  # 3.14\r\n\r\n   \n日本語 и русский 🙂🙂 हिन्दी … end   "
)


def trained(pre_tokenizer: pre_tokenizers.PreTokenizer, whole_words: bool) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=whole_words))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<s>", "</s>", "[Relevant]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    return tokenizer


@pytest.mark.parametrize("rules", RULES)
def test_llama_cpp_cuts_a_text_as_the_tokenizer_does(tmp_path: Path, rules: str) -> None:
    tokenizer = trained(*RULES[rules])
    folder = testing.pico_llama(tmp_path, vocab_size=512)
    tokenizer.save(str(folder / "tokenizer.json"))
    file = testing.pico_gguf(tmp_path, folder)
    assert keys(file)["tokenizer.ggml.pre"] == rules
    with open_in_llama_cpp(file, vocab_only=True) as model:
        for text in (TEXT, TEXT.lower(), TEXT[::-1], "[Relevant] " + TEXT):
            ids = model.tokenize(text.encode(), add_bos=False, special=True)
            assert ids == tokenizer.encode(text).ids
        plain = model.tokenize(b"[Relevant]", add_bos=False, special=False)
        assert 2 not in plain
        assert model.detokenize(plain, special=True) == b"[Relevant]"


# Refusals, each in one sentence.


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(config), encoding="utf-8")


def change_tokenizer(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    definition = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(definition), encoding="utf-8")


def scaled(**rope: Any) -> dict[str, Any]:
    return {"rope_parameters": rope}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel, and only LlamaForCausalLM, "),
        ({"architectures": None}, "has the architecture None, and only"),
        ({"hidden_act": "gelu"}, "its activation is 'gelu'"),
        ({"intermediate_size": None}, "its config.json lacks intermediate_size"),
        ({"layer_types": ["sliding_attention"] * 2}, "looks through a sliding window"),
        (scaled(rope_type="dynamic", factor=2.0), "scaled by 'dynamic'"),
        (scaled(rope_type="longrope", factor=2.0), "scaled by 'longrope'"),
        ({"rope_scaling": {"type": "su"}, "rope_parameters": None}, "scaled by 'su'"),
        (scaled(rope_type="linear"), "its rotary scaling lacks factor"),
        (scaled(rope_type="llama3", factor=8.0), "its rotary scaling lacks low_freq_factor"),
        (scaled(**YARN, beta_slow=2), "has another beta_slow than 1"),
        (scaled(**YARN, truncate=False), "has another truncate than True"),
        (scaled(partial_rotary_factor=0.5), "rotates only a part of each head"),
    ],
)
def test_a_model_that_llama_cpp_cannot_run_is_refused(
    tmp_path: Path, pico_folder: Path, config: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(pico_folder, tmp_path / "pico")
    change_config(folder, **config)
    refuses(folder, message)


@pytest.mark.parametrize(
    ("build", "config", "message"),
    [
        (testing.pico_qwen3, {"attention_bias": True}, "its attention has biases"),
        (testing.pico_qwen3, {"rope_parameters": LLAMA3_SCALING}, "scaled by 'llama3'"),
        (testing.pico_qwen3_5, {"linear_value_head_dim": 32}, "keys and values differ in size"),
        (testing.pico_qwen3_5, {"rope_parameters": YARN}, "scaled by 'yarn'"),
    ],
)
def test_what_one_architecture_lacks_is_refused_in_it(
    tmp_path: Path, build: Callable[..., Path], config: dict[str, Any], message: str
) -> None:
    refuses(build(tmp_path / "pico", **config), message)


def refuses(folder: Path, message: str) -> None:
    target = folder.parent / "model.gguf"
    with pytest.raises(ModelError) as caught:
        export_gguf(folder, target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "no name for its way of cutting"),
        ({"pre_tokenizer": None}, "no name for its way of cutting"),
        ({"normalizer": {"type": "Lowercase"}}, "it changes texts before it cuts them"),
    ],
)
def test_a_tokenizer_that_llama_cpp_lacks_is_refused(
    tmp_path: Path, pico_folder: Path, change: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(pico_folder, tmp_path / "pico")
    change_tokenizer(folder, **change)
    refuses(folder, message)


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path, pico_folder: Path) -> None:
    folder = shutil.copytree(pico_folder, tmp_path / "pico")
    (folder / "tokenizer.json").unlink()
    refuses(folder, "has no tokenizer.json")


def test_a_tokenizer_that_is_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico", vocab_size=300)
    testing.pico_tokenizer(folder, vocab_size=320)
    refuses(folder, "it has 320 tokens, the model 300")


def test_a_model_that_never_ends_is_refused(tmp_path: Path) -> None:
    """llama.cpp would take token 11 for the end."""
    folder = testing.pico_llama(tmp_path / "pico", eos_token_id=None)
    (folder / "generation_config.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    refuses(folder, "0 of its tokens end a text")


def test_a_tensor_that_llama_cpp_does_not_know_is_named(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    add_weights(folder, {"model.layers.0.self_attn.gate.weight": np.ones((2, 2), np.float32)})
    refuses(folder, "hold model.layers.0.self_attn.gate.weight, which llama.cpp does not know")


def test_a_missing_output_matrix_is_not_taken_for_a_tied_one(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    change_config(folder, tie_word_embeddings=False)
    refuses(folder, "lack lm_head.weight")


def test_a_weight_beyond_16_bits_is_not_made_infinite(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    name = "model.layers.1.mlp.up_proj.weight"
    add_weights(folder, {name: np.full((96, 64), -70_000, np.float32)})
    refuses(folder, "blk.1.ffn_up.weight has values that 16-bit floats (f16) do not reach")
    assert export_gguf(folder, tmp_path / "x.gguf", weight_type="bf16").is_file()


def test_an_unknown_weight_type_names_the_known_ones(tmp_path: Path, pico_folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'q4'; choose one of: f32, f16, bf16\."):
        export_gguf(pico_folder, tmp_path / "x.gguf", weight_type="q4")  # type: ignore[arg-type]


def test_broken_weights_leave_the_file_that_was_there(tmp_path: Path) -> None:
    folder = testing.pico_llama(tmp_path / "pico")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    target = tmp_path / "out" / "model.gguf"
    target.parent.mkdir()
    target.write_bytes(b"before")
    with pytest.raises(ModelError, match="cannot be read"):
        export_gguf(folder, target)
    assert target.read_bytes() == b"before"
    assert list(target.parent.iterdir()) == [target]


def test_a_full_disk_is_said_so_and_leaves_nothing(tmp_path: Path, pico_folder: Path) -> None:
    target = tmp_path / "model.gguf"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(StateError, match="cannot be written to"):
            export_gguf(pico_folder, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(tmp_path.iterdir()) == []
