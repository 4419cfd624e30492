"""Languages by the codes that people write."""

import pytest

from avalan.errors import ConfigurationError
from avalan.model.nlp.languages import find_language, is_language

MBART = ("ar_AR", "de_DE", "en_XX", "es_XX", "et_EE", "pt_XX", "zh_CN")
NLLB = ("eng_Latn", "spa_Latn", "zho_Hans", "zho_Hant")


@pytest.mark.parametrize(
    ("wanted", "codes", "meant"),
    [
        ("en_XX", MBART, "en_XX"),
        ("en_US", MBART, "en_XX"),  # as the first README writes it
        ("en-us", MBART, "en_XX"),
        ("en", MBART, "en_XX"),
        (" ES ", MBART, "es_XX"),
        ("pt_BR", MBART, "pt_XX"),
        ("de", MBART, "de_DE"),
        ("zh_cn", MBART, "zh_CN"),
        ("eng", NLLB, "eng_Latn"),
        ("zho_hant", NLLB, "zho_Hant"),
        ("en", ("en", "es"), "en"),  # as M2M100 has them
        ("en_GB", ("en", "es"), "en"),
    ],
)
def test_language_is_found_however_it_is_written(
    wanted: str, codes: tuple[str, ...], meant: str
) -> None:
    assert find_language(wanted, codes, model="m") == meant


@pytest.mark.parametrize(
    ("wanted", "codes", "sentence"),
    [
        ("zh_TW", MBART, "The model 'm' has no language 'zh_TW'; did you mean zh_CN?"),
        ("de_AT", MBART, "The model 'm' has no language 'de_AT'; did you mean de_DE?"),
        ("zho", NLLB, "The model 'm' has no language 'zho'; did you mean zho_Hans or zho_Hant?"),
        ("en_Latn", NLLB, "The model 'm' has no language 'en_Latn'; did you mean eng_Latn"),
        ("Klingon", ("en", "es"), "The model 'm' has no language 'Klingon'; it has: en, es."),
        ("", ("en", "es"), "The model 'm' has no language ''; it has: en, es."),
    ],
)
def test_unknown_language_is_answered_with_near_ones(
    wanted: str, codes: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_language(wanted, codes, model="m")

    assert str(caught.value).startswith(sentence)


def test_of_hundreds_of_languages_the_first_are_listed() -> None:
    codes = [f"a{letter}{other}_Latn" for letter in "bcdefghijk" for other in "abcdefgh"]

    with pytest.raises(ConfigurationError, match=r"it has: aba_Latn, .*, …\.$"):
        find_language("42", codes, model="m")


@pytest.mark.parametrize(
    ("token", "is_one"),
    [
        ("en_XX", True),
        ("eng_Latn", True),
        ("en", True),
        ("<s>", False),
        ("<mask>", False),
        ("[CLS]", False),
        ("en_xx", False),
    ],
)
def test_language_codes_are_told_from_other_control_tokens(token: str, is_one: bool) -> None:
    assert is_language(token) is is_one
