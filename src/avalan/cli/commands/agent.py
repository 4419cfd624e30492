"""`avalan agent`: the verbs, each in a module of its own."""

from avalan.locale import _n

COMMANDS = {
    "run": (_n("Give an agent an input and show its answer"), "avalan.cli.commands.agent_run"),
    "init": (_n("Write the TOML file of a new agent"), "avalan.cli.commands.agent_init"),
}

EXAMPLES = (
    'avalan agent init --role "You are a translator." --out translator.toml',
    'avalan agent run translator.toml "Good morning"',
)
