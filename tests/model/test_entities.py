"""Settings refuse values of another type where they are made."""

from typing import Any

import numpy as np
import pytest

from avalan.errors import ConfigurationError
from avalan.model.entities import EngineSettings, GenerationSettings


@pytest.mark.parametrize(
    ("kind", "name", "value", "wanted"),
    [
        (GenerationSettings, "max_new_tokens", "5", "a whole number"),
        (GenerationSettings, "max_new_tokens", True, "a whole number"),
        (GenerationSettings, "max_new_tokens", None, "a whole number"),
        (GenerationSettings, "max_new_tokens", 5.0, "a whole number"),
        (GenerationSettings, "temperature", "hot", "a number"),
        (GenerationSettings, "temperature", False, "a number"),
        (GenerationSettings, "do_sample", 1, "True or False"),
        (GenerationSettings, "stop_strings", "abc", "a tuple of texts"),
        (GenerationSettings, "stop_strings", (1,), "a tuple of texts"),
        (EngineSettings, "num_threads", "2", "a whole number"),
        (EngineSettings, "device", None, "a text"),
        (EngineSettings, "tokens", "<x>", "a tuple of texts"),
        (EngineSettings, "trust_remote_code", "no", "True or False"),
    ],
)
def test_a_setting_of_another_type_is_refused_in_one_sentence(
    kind: type, name: str, value: Any, wanted: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(**{name: value})
    assert str(caught.value) == f"The setting {name} is {value!r}, but it must be {wanted}."


def test_numbers_of_every_library_and_lists_of_texts_are_taken() -> None:
    settings = GenerationSettings(
        max_new_tokens=np.int64(5),  # type: ignore[arg-type]
        temperature=np.float32(0.5),  # type: ignore[arg-type]
        top_p=1,
        stop_strings=["a"],  # type: ignore[arg-type]
    )
    assert settings.samples
