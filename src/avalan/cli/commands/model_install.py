"""`avalan model install`: download a model, ready to run."""

import argparse
from collections.abc import Mapping
from typing import Any

from avalan import extras
from avalan.cli.commands.cache_download import add_download_options, download
from avalan.cli.console import Console
from avalan.cli.display.units import bytes_text
from avalan.cli.options import add_fields, from_args
from avalan.cli.parser import Parser
from avalan.errors import ModelError
from avalan.hub.formats import GGUF, split_format
from avalan.hub.kind import task_of, writes_text
from avalan.locale import _, _n
from avalan.model.entities import EngineSettings

# Task → module and class that run it from Python.
_IN_PYTHON = {
    "object-detection": ("avalan.model.vision.detection", "ObjectDetectionModel"),
    "text2text-generation": ("avalan.model.nlp.sequence", "SequenceToSequenceModel"),
}
_DOES = _n("writes text")
_EXAMPLE = "Qwen/Qwen3-0.6B"


def configure(parser: Parser) -> None:
    """One model, by name."""
    parser.epilog = _(
        "As `avalan cache download`, but refuses a model that avalan could not run. With --json "
        "one object: model, revision, commit, folder, size_bytes, downloaded_bytes, files, "
        "preflight."
    )
    parser.examples = (
        "avalan model install Qwen/Qwen3-0.6B",
        "avalan model run Qwen/Qwen3-0.6B",
        "avalan model install unsloth/Qwen3-0.6B-GGUF:Q8_0",
    )
    parser.add_argument("model", metavar="MODEL", help=_("the model's owner/name on the hub"))
    add_download_options(parser)
    add_fields(parser, EngineSettings, ["trust_remote_code"])
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Install, and say how to run it."""
    settings = from_args(EngineSettings, args)
    lines: list[str] = []

    def check(plan: Any) -> None:
        config = extras.load("avalan.hub.download").read_config(plan)
        check_can_run(plan, settings, config)
        _model, wanted = split_format(args.model)
        name = plan.model.name + (f":{wanted}" if wanted else "")
        lines.extend(_lines(name, settings, config))

    code = settings.trust_remote_code
    plan, folder, document = download(args, console, pickled=False, code=code, check=check)
    if console.as_json:
        console.json(document)
    elif console.quiet:
        console.print(str(folder))
    else:
        name, size = plan.model.name, bytes_text(plan.size_bytes)
        if document["downloaded_bytes"]:
            console.print(_("Installed {name} ({size}). Run it with:", name=name, size=size))
        else:
            console.print(
                _("Already installed: {name} ({size}). Run it with:", name=name, size=size)
            )
        for line in lines:
            console.print(f"  {line}", wrap=False)
    return 0


def _lines(name: str, settings: EngineSettings, config: Mapping[str, Any]) -> list[str]:
    """What to type: a command, or Python where there is none."""
    module, cls = _IN_PYTHON.get(task_of(config) or "", ("", ""))
    if module:
        return [
            "python",
            f">>> from {module} import {cls}",
            f'>>> model = {cls}("{name}").open()',
        ]
    return [f"avalan model run {name}" + " --trust-remote-code" * settings.trust_remote_code]


def check_can_run(plan: Any, settings: EngineSettings, config: Mapping[str, Any]) -> None:
    """Whether avalan can run what `plan` would download.

    Raises:
        MissingExtra: it runs on torch, which is not installed.
        ModelError: it is of a kind that nothing here runs, or needs code that is not trusted.
    """
    name, files = plan.model.name, [file.path for file in plan.files]
    load = extras.load("avalan.model.load")
    if any(file.endswith(GGUF) for file in files):
        load.check_can_run(name, settings, files, lambda: config)
        return
    if not config:
        raise ModelError(
            "The model {name!r} has no config.json that could be read, so avalan cannot run it; "
            "choose another repository of the same model.",
            name=name,
        )
    task = task_of(config)
    if task not in _IN_PYTHON and not writes_text(config):
        raise ModelError(
            "The model {name!r} is of the kind {what}, which is not one that {does}; give one "
            "that is, such as {example!r}.",
            name=name,
            what=", ".join(map(str, config["architectures"])),
            does=_(_DOES),
            example=_EXAMPLE,
        )
    if task in _IN_PYTHON:
        module, cls = _IN_PYTHON[task]
        kind = getattr(extras.load(module), cls).task
        files = [file for file in files if not file.endswith(".onnx")]
    else:
        kind = extras.load("avalan.model.task").Task(
            does=_DOES,
            example=_EXAMPLE,
            extra="transformers",
            model_class="AutoModelForCausalLM",
            known_classes="MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
            processor_class="AutoTokenizer",
        )
    load.check_can_run(name, settings, files, lambda: config)
    if not any(file.endswith(".onnx") for file in files):
        extras.load("avalan.model.pretrained", extra="transformers").check_kind(name, config, kind)
