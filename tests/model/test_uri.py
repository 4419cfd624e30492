"""Names of models."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avalan.errors import ConfigurationError
from avalan.model.uri import EngineUri, parse_uri


@pytest.mark.parametrize("name", ["bundled", "Qwen/Qwen3-0.6B", "/models/x y", "./a?b", "~/m@1"])
def test_anything_else_is_an_id_or_a_path(name: str) -> None:
    assert parse_uri(name) == EngineUri(model=name)
    assert parse_uri(name).is_local


def test_uri_has_key_provider_model_and_options() -> None:
    uri = parse_uri("ai://s3cret@openai/org/gpt-x?temperature=0.2&base_url=http%3A%2F%2Fh%3A1")

    assert uri == EngineUri(
        provider="openai",
        model="org/gpt-x",
        key="s3cret",
        options={"temperature": "0.2", "base_url": "http://h:1"},
    )
    assert not uri.is_local


def test_local_provider_is_this_machine() -> None:
    assert parse_uri("ai://local/Qwen/Qwen3-0.6B").is_local


@given(key=st.text(min_size=1, max_size=12))
def test_key_shows_in_no_text_made_from_the_uri(key: str) -> None:
    uri = EngineUri(provider="p", model="m", key=f"<{key}>")

    assert f"<{key}>" not in f"{uri!r} {uri} {[uri]}"


def test_percent_signs_stand_for_separators() -> None:
    uri = parse_uri("ai://a%40b%2Fc@p/m%3Fn")

    assert (uri.key, uri.provider, uri.model) == ("a@b/c", "p", "m?n")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("  ", "is empty"),
        ("ai://", "names no provider"),
        ("ai:///m", "names no provider"),
        ("ai://openai", "names no model of 'openai'"),
        ("ai://openai/?x=1", "names no model of 'openai'"),
        ("ai://@openai/m", "empty key for 'openai'"),
        ("https://openai/m", "not with 'https://'"),
    ],
)
def test_uri_that_lacks_a_part_says_which(text: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        parse_uri(text)


def test_error_never_holds_the_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_uri("ai://s3cret@openai")

    assert "s3cret" not in str(caught.value)


def test_uri_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_uri("x").model = "y"  # type: ignore[misc]
