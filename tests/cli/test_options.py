"""One definition, three faces: a field, its option, its help."""

import dataclasses
from argparse import Namespace
from dataclasses import dataclass

import pytest

from avalan.cli.options import add_fields, as_usage, field_docs, from_args
from avalan.cli.parser import Parser
from avalan.errors import ConfigurationError, ModelError, UsageError
from avalan.model.entities import WEIGHT_TYPES, EngineSettings, GenerationSettings
from avalan.reflection.settings import AskSettings


@dataclass(frozen=True, kw_only=True)
class Oven:
    """Not a model's settings, so that the tests see every kind of field."""

    heat: int = 180
    """Degrees Celsius, at most 100 % of what the oven can."""
    slack: float | None = None
    """How far off it may be,
    in degrees."""
    fan: bool | None = None
    trays: tuple[str, ...] = ()
    """Trays to use."""


def oven_parser() -> Parser:
    parser = Parser(prog="oven")
    add_fields(parser, Oven, ["heat", "slack", "fan", "trays"], flags={"trays": "--tray"})
    return parser


def oven(*words: str) -> Oven:
    return from_args(Oven, oven_parser().parse(words))


def test_a_fields_docstring_is_its_help_with_the_default() -> None:
    text = " ".join(oven_parser().format_help().split())
    assert "--heat N degrees Celsius, at most 100 % of what the oven can [180]" in text
    assert "--slack X how far off it may be, in degrees" in text


def test_options_left_out_leave_the_dataclass_its_defaults() -> None:
    assert oven() == Oven()


def test_options_given_become_values_of_the_fields_types() -> None:
    assert oven("--heat", "7", "--slack=.5", "--no-fan", "--tray", "a", "--tray", "b") == Oven(
        heat=7, slack=0.5, fan=False, trays=("a", "b")
    )


def test_more_values_go_in_beside_the_options() -> None:
    args = Namespace(heat=None)
    assert from_args(Oven, args, slack=1.0) == Oven(slack=1.0)


def test_a_number_that_is_none_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="--heat: 'hot' is not a whole number"):
        oven("--heat", "hot")


@pytest.mark.parametrize(
    ("settings", "given", "complaint"),
    [
        (AskSettings, {"threshold": 7.0}, "--threshold is 7"),
        (AskSettings, {"top_k": 0}, "--top-k is 0"),
        (GenerationSettings, {"top_k": 0}, "top_k is 0"),
        (GenerationSettings, {"temperature": float("nan")}, "temperature is nan"),
        (
            EngineSettings,
            {"engine": "steam"},
            "no engine called 'steam'; choose one of: auto, onnx",
        ),
        (
            EngineSettings,
            {"weight_type": "fp3"},
            "no weight type called 'fp3'; choose one of: auto",
        ),
        (EngineSettings, {"attention": "none"}, "no attention called 'none'; choose one of: auto"),
        (EngineSettings, {"num_threads": 0}, "--num-threads is 0, but it must be from 1 to 256"),
        (EngineSettings, {"num_threads": 9999}, "--num-threads is 9999"),
    ],
)
def test_a_value_that_no_machine_could_honour_is_wrong_usage(
    settings: type, given: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        from_args(settings, Namespace(**given))
    assert complaint in str(caught.value)
    settings(**given)  # A caller of the library meets the same check where it is used.


def test_the_weight_types_are_the_engines() -> None:
    from avalan.model import weights

    assert {"auto", *weights._WEIGHT_TYPES} == set(WEIGHT_TYPES)


def test_what_a_room_refuses_as_a_setting_is_wrong_usage_of_the_command_line() -> None:
    with pytest.raises(UsageError, match="no such thing"), as_usage():
        raise ConfigurationError("There is no such thing.")
    with pytest.raises(ModelError), as_usage():
        raise ModelError("The file is gone.")


@pytest.mark.parametrize("settings", [GenerationSettings, EngineSettings])
def test_every_public_setting_says_what_it_is(settings: type) -> None:
    docs = field_docs(settings)
    assert set(docs) == {field.name for field in dataclasses.fields(settings)}
    assert all(text.endswith(".") for text in docs.values())
