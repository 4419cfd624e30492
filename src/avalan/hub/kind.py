"""What a model is for, told from its `config.json` in the hub's own words for tasks."""

import re
from collections.abc import Mapping
from typing import Any

_CLASSES = (
    ("object-detection", r"ForObjectDetection$"),
    ("text-generation", r"CausalLM|LMHead|ForConditionalGeneration$|Decoder$"),
    ("fill-mask", r"ForMaskedLM$"),
    ("text-classification", r"ForSequenceClassification$"),
    ("token-classification", r"ForTokenClassification$"),
    ("question-answering", r"ForQuestionAnswering$"),
    ("image-classification", r"ForImageClassification$"),
)
_OTHER = "feature-extraction"


def task_of(config: Mapping[str, Any]) -> str | None:
    """The task; None where the configuration does not tell."""
    if config.get("is_encoder_decoder"):
        return "text2text-generation"
    own, names = config.get("auto_map"), config.get("architectures")
    if isinstance(own, Mapping) and "AutoModelForCausalLM" in own:
        return "text-generation"
    if not isinstance(names, list) or not names:
        return None
    fitting = (task for task, rule in _CLASSES if any(re.search(rule, str(n)) for n in names))
    return next(fitting, _OTHER)


def is_for_another_task(config: Mapping[str, Any]) -> bool:
    """Whether the configuration names a task that is not writing; a bare backbone names none."""
    return task_of(config) not in ("text-generation", "text2text-generation", _OTHER, None)


def writes_text(config: Mapping[str, Any]) -> bool:
    """Whether it does, as far as the configuration tells."""
    return task_of(config) in ("text-generation", "text2text-generation", None)
