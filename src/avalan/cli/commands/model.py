"""`avalan model`: the verbs, each in a module of its own."""

from avalan.locale import _n

COMMANDS = {
    "run": (_n("Run a model on a prompt"), "avalan.cli.commands.model_run"),
    "display": (_n("Show a model's card, shape and files"), "avalan.cli.commands.model_display"),
    "search": (_n("Search the hub for models"), "avalan.cli.commands.model_search"),
    "install": (_n("Download a model, ready to run"), "avalan.cli.commands.model_install"),
    "uninstall": (_n("Delete a model from this machine"), "avalan.cli.commands.model_uninstall"),
    "train": (_n("Train a model by a recipe"), "avalan.cli.commands.train"),
    "distill": (_n("Teach a small model by a larger one"), "avalan.cli.commands.model_distill"),
    "evaluate": (_n("Measure models on a task"), "avalan.cli.commands.evaluate"),
    "export": (_n("Write a model as ONNX or GGUF"), "avalan.cli.commands.model_export"),
    "merge": (_n("Put an adapter into the weights of its base"), "avalan.cli.commands.model_merge"),
    "profile": (
        _n("Compare the engines that can run a model"),
        "avalan.cli.commands.model_profile",
    ),
}

EXAMPLES = (
    'avalan model run "What does a compiler do?"',
    "avalan model display bundled",
    "avalan model search 'deepseek r1' --limit 2",
)
