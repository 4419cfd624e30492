"""`avalan cache`: the verbs, each in a module of its own."""

from avalan.locale import _n

COMMANDS = {
    "list": (
        _n("Show the models in the cache, the largest first"),
        "avalan.cli.commands.cache_list",
    ),
    "download": (_n("Download a model, or the rest of it"), "avalan.cli.commands.cache_download"),
    "delete": (_n("Delete a model, or some of its revisions"), "avalan.cli.commands.cache_delete"),
    "serve": (_n("Offer the local cache to other machines"), "avalan.cli.commands.cache_serve"),
}

EXAMPLES = (
    "avalan cache list",
    "avalan cache download --model Qwen/Qwen3-0.6B",
    "avalan cache delete --model Qwen/Qwen3-0.6B --revision 10e842",
)
