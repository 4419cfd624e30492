"""`avalan model`: the verbs, each in a module of its own."""

COMMANDS = {
    "run": ("Run a model on a prompt", "avalan.cli.commands.model_run"),
    "display": ("Show a model's card, shape and files", "avalan.cli.commands.model_display"),
    "train": ("Train a model by a recipe", "avalan.cli.commands.train"),
    "evaluate": ("Measure models on a task", "avalan.cli.commands.evaluate"),
    "export": ("Write a model as ONNX", "avalan.cli.commands.model_export"),
}
