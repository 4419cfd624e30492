"""The estimates before a download, against sums done by hand."""

import time
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.hub.preflight import (
    Preflight,
    active_share,
    kv_bytes_per_token,
    measure_bandwidth,
    needs_of,
)
from avalan.hub.remote import RemoteFile

# Qwen3-0.6B, as published.
QWEN = {
    "hidden_size": 1024,
    "head_dim": 128,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "num_hidden_layers": 28,
    "max_position_embeddings": 40960,
    "vocab_size": 151936,
}


def file(path: str, size: int) -> RemoteFile:
    return RemoteFile(path=path, size_bytes=size, etag="0" * 40)


def preflight(
    disk: int | None,
    memory: int | None,
    *,
    bandwidth: float | None = 1e9,
    size: int = 1000,
    config: Mapping[str, object] = MappingProxyType({}),
) -> Preflight:
    return Preflight(
        download_bytes=size,
        free_disk_bytes=disk,
        needs=needs_of([file("model.safetensors", size)], config),
        free_memory_bytes=memory,
        bandwidth=bandwidth,
    )


def test_the_key_value_cache_of_a_known_model() -> None:
    """Two tensors, 28 layers, 8 heads of 128 numbers of two bytes."""
    assert kv_bytes_per_token(QWEN) == 2 * 28 * 8 * 128 * 2 == 114_688


def test_memory_is_weights_and_a_tenth_and_the_cache() -> None:
    needs = needs_of([file("model.safetensors", 1_500_000_000), file("tokenizer.json", 11)], QWEN)
    assert needs.weight_bytes == needs.read_bytes == 1_500_000_000
    assert needs.kv_cache_bytes == 4096 * 114_688
    assert needs.memory_bytes == 1_650_000_000 + 469_762_048
    assert (needs.engine, needs.context) == ("transformers", 4096)


def test_onnx_is_counted_where_avalan_would_run_it() -> None:
    files = [file("onnx/model.onnx", 300), file("model.safetensors", 900)]
    needs = needs_of(files, QWEN)
    assert (needs.engine, needs.weight_bytes) == ("onnx", 300)


def test_a_gguf_file_is_counted_with_all_its_parts() -> None:
    files = [file("m-00001-of-00002.gguf", 300), file("m-00002-of-00002.gguf", 200)]
    needs = needs_of(files, {})
    assert (needs.engine, needs.weight_bytes, needs.read_bytes) == ("gguf", 500, 500)


def test_a_short_context_needs_less() -> None:
    short = needs_of([], {**QWEN, "max_position_embeddings": 1000})
    assert short.kv_cache_bytes == 1000 * 114_688


def test_speed_is_bounded_by_bandwidth_and_by_layers() -> None:
    """1.5 GB at 10 GB/s take 150 ms, and 28 layers 0.6 ms each."""
    found = preflight(None, None, bandwidth=10e9, size=1_500_000_000, config=QWEN)
    assert found.tokens_per_s == pytest.approx(1 / (0.150 + 28 * 0.0006))


def test_of_experts_only_the_chosen_are_read() -> None:
    """One layer, 8 experts of 3 x 10 x 100, two chosen; the rest is 4 x 10 x 10 + 2 x 20 x 10."""
    config = {
        "hidden_size": 10,
        "intermediate_size": 100,
        "num_hidden_layers": 1,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "vocab_size": 20,
    }
    assert active_share(config) == pytest.approx((800 + 6000) / (800 + 24000))
    assert active_share(QWEN) == 1.0


def test_a_multimodal_model_is_measured_by_its_language_part() -> None:
    assert kv_bytes_per_token({"text_config": QWEN, "hidden_size": 7}) == 114_688


@pytest.mark.parametrize("config", [{}, {"hidden_size": "x"}, {"text_config": None}])
def test_a_configuration_that_does_not_tell_is_no_error(config: dict[str, object]) -> None:
    needs = needs_of([file("model.safetensors", 100)], config)
    assert (needs.kv_cache_bytes, needs.memory_bytes) == (0, 110)


def test_fitting_is_yes_no_or_unknown() -> None:
    assert (preflight(1000, 1100).fits_disk, preflight(1000, 1100).fits_memory) == (True, True)
    assert (preflight(999, 1099).fits_disk, preflight(999, 1099).fits_memory) == (False, False)
    assert (preflight(None, None).fits_disk, preflight(None, None).fits_memory) == (None, None)


def test_no_speed_is_promised_for_what_does_not_fit_or_was_not_measured() -> None:
    assert preflight(1, 1100).tokens_per_s == pytest.approx(1e6)
    assert preflight(1, 1099).tokens_per_s is None
    assert preflight(1, 1100, bandwidth=None).tokens_per_s is None
    assert preflight(1, 1100, size=0).tokens_per_s is None


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.floats(1e8, 1e12))
def test_a_larger_model_is_never_estimated_to_be_faster(
    size: int, other: int, bandwidth: float
) -> None:
    small, large = (
        preflight(None, None, bandwidth=bandwidth, size=each, config=QWEN).tokens_per_s or 0
        for each in sorted((size, other))
    )
    assert small >= large > 0


def test_the_measured_bandwidth_is_that_of_a_computer_and_soon_told() -> None:
    measure_bandwidth()  # The first one also pays for what it works with.
    started = time.monotonic()
    assert 1e8 < measure_bandwidth() < 1e13
    assert time.monotonic() - started < 1
