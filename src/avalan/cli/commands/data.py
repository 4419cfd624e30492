"""`avalan data`: the verbs, each in a module of its own."""

from avalan.locale import _n

COMMANDS = {
    "synthesize": (
        _n("Make a synthetic data set from a recipe"),
        "avalan.cli.commands.data_synthesize",
    ),
    "inspect": (
        _n("Look at records, and at what of them is graded"),
        "avalan.cli.commands.data_inspect",
    ),
}

EXAMPLES = (
    "avalan data synthesize avalon --n 201000 --mix selfrag=0.8,general=0.2 --seed 7 --out data",
    "avalan data inspect data --num 5",
)
