"""An agent's file: what it may say, and the sentence for what it may not."""

from pathlib import Path
from typing import Any

import pytest

from avalan import table
from avalan.agent.specification import (
    NOT_FROM_A_FILE,
    SECTIONS,
    AgentSpecification,
    Persona,
    key_types,
    load_specification,
    specification_from_table,
)
from avalan.errors import ConfigurationError
from avalan.model.entities import EngineSettings, GenerationSettings

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "agent_gettext_translator.toml"
ROLE = '[agent]\nrole = "You are x."\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_bytes(text.encode())
    return path


def test_the_example_says_who_with_which_model_and_how() -> None:
    found = load_specification(EXAMPLE)

    assert found.model == "meta-llama/Meta-Llama-3-8B-Instruct"
    assert found.engine == EngineSettings()
    assert found.run == GenerationSettings(
        use_cache=True, max_new_tokens=1024, skip_special_tokens=True
    )
    assert found.variables == {"source_language": "English", "destination_language": "Spanish"}
    assert found.persona.name is None
    assert found.persona.role.startswith("You are an expert translator")
    assert "{{destination_language}}" in (found.persona.task or "")
    assert len(found.persona.rules) == 2


def test_a_role_is_enough(tmp_path: Path) -> None:
    assert load_specification(written(tmp_path, ROLE)) == AgentSpecification(
        persona=Persona(role="You are x.")
    )
    assert load_specification(written(tmp_path, ROLE)).model == "bundled"


def test_every_key_reaches_its_field(tmp_path: Path) -> None:
    found = load_specification(
        written(
            tmp_path,
            """
            [agent]
            name = "N"
            role = "R"
            task = "T"
            instructions = "I"
            rules = ["one", "two"]
            [template]
            count = 3
            [engine]
            uri = "ai://local/x"
            device = "cuda:1"
            num_threads = 2
            [run]
            temperature = 1
            stop_strings = ["END"]
            do_sample = false
            """,
        )
    )

    assert found.persona == Persona(
        name="N", role="R", task="T", instructions="I", rules=("one", "two")
    )
    assert found.variables == {"count": 3}
    assert found.model == "ai://local/x"
    assert found.engine == EngineSettings(device="cuda:1", num_threads=2)
    assert found.run == GenerationSettings(temperature=1.0, stop_strings=("END",), do_sample=False)
    assert type(found.run.temperature) is float


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no role; add to [agent]: role ="),
        ('[agent]\nrole = " \\n"', "no role"),
        (ROLE + "tasc = 'x'", "a key 'agent.tasc' that means nothing here; did you mean 'agent.ta"),
        (ROLE + "zzz = 1", "the keys are: agent.name, agent.role, agent.task"),
        (ROLE + "[tools]\n", "a key 'tools' that means nothing here; the keys are: agent, "),
        (ROLE + "[egine]\n", "did you mean 'engine'"),
        (ROLE + "task = 3", "sets agent.task to 3"),
        (ROLE + "task = 3", "to 3, but it must be a text in quotes."),
        (ROLE + "rules = 'one'", "'one', but it must be a list of texts."),
        (ROLE + "rules = [1]", "to a list, but it must be a list of texts."),
        (ROLE + "[run]\nmax_new_tokens = true", "to true, but it must be a whole number."),
        (ROLE + "[run]\nmax_new_tokens = 1.5", "to 1.5, but it must be a whole number."),
        (ROLE + "[run]\nuse_cache = 1", "to 1, but it must be true or false."),
        (ROLE + "[run]\ntemperature = 'hot'", "to 'hot', but it must be a number."),
        (ROLE + "[run.seed]\nx = 1", "to a table, but it must be a whole number."),
        ("agent = 1", "a key 'agent'; write it as a section: [agent]."),
        (ROLE + "[engine]\nmodel_id = 'a'\nuri = 'b'", "names its model twice"),
        (ROLE + "[engine]\nmodel_id = ' '", "leaves engine.model_id empty; name a model"),
        (ROLE + "[engine]\ntrust_remote_code = true", "a key 'engine.trust_remote_code'"),
        (ROLE + "[template]\nmy-language = 'x'", "a variable 'my-language', which {{…}} cannot"),
        (ROLE + "[template]\nla\u0308nge = 'x'", "is not valid TOML"),
        ("[agent", "is not valid TOML: "),
        ("x = 1" + "0" * 5000, "is not valid TOML"),
        ("x = " + "[" * 5000, "is not valid TOML"),
    ],
)  # fmt: skip
def test_what_a_file_may_not_say_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError) as raised:
        load_specification(path)

    said = str(raised.value)
    assert sentence in said
    assert str(path) in said
    assert "\n" not in said


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no agent file '.*nowhere'.*avalan agent init"):
        load_specification(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="is a folder"):
        load_specification(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_specification(written(tmp_path, ROLE) / "below")
    (tmp_path / "latin").write_bytes(b"[agent]\nrole = '\xe9'")
    with pytest.raises(ConfigurationError, match=r"not UTF-8 text \(byte 16\)"):
        load_specification(tmp_path / "latin")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load_specification(written(tmp_path, "\ufeff" + ROLE)).persona.role == "You are x."


@pytest.mark.parametrize("key", ["model_id", "uri"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./nano", "{folder}/nano"),
        ("../nano", "{folder}/../nano"),
        (".", "{folder}"),
        ("/models/nano", "/models/nano"),
        ("owner/name", "owner/name"),
        ("bundled", "bundled"),
        ("ai://local/./x", "ai://local/./x"),
        (".hidden/name", ".hidden/name"),
    ],
)
def test_a_path_with_a_dot_starts_from_the_file(
    tmp_path: Path, key: str, name: str, expected: str
) -> None:
    path = written(tmp_path, f"{ROLE}[engine]\n{key} = '{name}'\ncache_dir = 'hub'")

    found = load_specification(path)

    assert found.model == expected.format(folder=tmp_path)
    assert found.engine.cache_dir == str(tmp_path / "hub")


def test_a_file_named_from_its_own_folder_gives_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, f"{ROLE}[engine]\nmodel_id = './nano'")
    monkeypatch.chdir(tmp_path)

    assert load_specification("agent.toml").model == str(tmp_path / "nano")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("template.language", "French", {"variables": {"language": "French"}}),
        ("template.version", "1.10", {"variables": {"language": "Spanish", "version": "1.10"}}),
        ("agent.role", '"quoted"', {"persona": Persona(role='"quoted"')}),
        ("agent.rules", '["a"]', {"persona": Persona(role="You are x.", rules=("a",))}),
        ("engine.revision", "10e842", {"engine": EngineSettings(revision="10e842")}),
        ("engine.num_threads", "1", {"engine": EngineSettings(num_threads=1)}),
        ("engine.model_id", "bundled", {"model": "bundled"}),
        ("run.seed", "8", {"run": GenerationSettings(seed=8)}),
        ("run.use_cache", "false", {"run": GenerationSettings(use_cache=False)}),
    ],
)
def test_a_change_overrides_the_file(
    tmp_path: Path, key: str, value: str, expected: dict[str, Any]
) -> None:
    path = written(tmp_path, f"{ROLE}[template]\nlanguage = 'Spanish'\n[engine]\nuri = 'a/b'")

    found = load_specification(path, {key: value})

    for name, wanted in expected.items():
        assert getattr(found, name) == wanted


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("language", "language=x changes nothing in an agent; write section.key=value"),
        ("memory.recent", "the section is one of: agent, template, engine, run."),
        ("run.sead", "did you mean 'run.seed'"),
        ("run.seed", "to 'x', but it must be a whole number"),
    ],
)
def test_a_change_of_nothing_is_a_sentence(tmp_path: Path, key: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_specification(written(tmp_path, ROLE), {key: "x"})
    assert sentence in str(raised.value)


def test_a_table_without_a_file_names_the_agent() -> None:
    with pytest.raises(ConfigurationError, match=r"^The agent has a key 'agent\.rol'"):
        specification_from_table({"agent": {"rol": "x"}})


def test_a_number_out_of_its_range_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"top_p is 7\.0, but it must be above 0"):
        load_specification(written(tmp_path, ROLE + "[run]\ntop_p = 7"))


def test_every_key_has_a_type_that_the_sentences_can_name() -> None:
    kinds = {kind for section in SECTIONS for kind in key_types(section).values()}
    assert kinds <= set(table._DEMANDS)


def test_what_only_the_person_may_decide_is_no_key() -> None:
    assert not NOT_FROM_A_FILE & set(key_types("engine"))


@pytest.mark.parametrize("key", ["trust_remote_code", "allow_pickle", "access_token"])
def test_a_file_cannot_consent_for_the_person_who_runs_it(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"engine.{key}"):
        load_specification(written(tmp_path, ROLE + f"[engine]\n{key} = true"))
