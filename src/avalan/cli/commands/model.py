"""`avalan model`: the verbs, each in a module of its own."""

COMMANDS = {
    "run": ("Run a model on a prompt", "avalan.cli.commands.model_run"),
    "display": ("Show a model's card, shape and files", "avalan.cli.commands.model_display"),
    "search": ("Search the hub for models", "avalan.cli.commands.model_search"),
    "install": ("Download a model, ready to run", "avalan.cli.commands.model_install"),
    "uninstall": ("Delete a model from this machine", "avalan.cli.commands.model_uninstall"),
    "train": ("Train a model by a recipe", "avalan.cli.commands.train"),
    "evaluate": ("Measure models on a task", "avalan.cli.commands.evaluate"),
    "export": ("Write a model as ONNX", "avalan.cli.commands.model_export"),
}

EXAMPLES = (
    'avalan model run "What does a compiler do?"',
    "avalan model display bundled",
    "avalan model search 'deepseek r1' --limit 2",
)
