"""`avalan cache serve`: the models on this disk, for machines without internet.

The server speaks the hub's own language, so the other machine needs nothing of ours: whatever
downloads through huggingface_hub downloads from here.
"""

import argparse
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from avalan import extras
from avalan.cli import disk
from avalan.cli.console import Console, neutralise
from avalan.cli.display.units import bytes_text
from avalan.cli.options import whole_number
from avalan.cli.parser import Parser
from avalan.errors import (
    AvalanError,
    ConfigurationError,
    ModelError,
    StateError,
    UsageError,
    reason_of,
)
from avalan.hub.server import HubServer, Served, url
from avalan.locale import _, ngettext

if TYPE_CHECKING:
    from avalan.hub.cache_catalogue import CacheCatalogue

HOST = "127.0.0.1"
PORT = 9002
_EVERY_ADDRESS = ("0.0.0.0", "::")


def configure(parser: Parser) -> None:
    """Where to listen, and what to serve."""
    parser.epilog = _(
        "The other machine then downloads from here, with avalan, transformers or any program that "
        "uses huggingface_hub. It needs no token, and should send none: the connection is not "
        "encrypted."
    )
    parser.examples = (
        "avalan cache serve",
        "avalan cache serve --host 0.0.0.0 --model Qwen/Qwen3-0.6B --verbose",
    )
    parser.add_argument(
        "--host",
        metavar="HOST",
        default=HOST,
        help=_("address to listen on; 0.0.0.0 lets the whole network in [{host}]", host=HOST),
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=whole_number,
        default=PORT,
        help=_("port to listen on; 0 for any that is free [{port}]", port=PORT),
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        action="append",
        help=_("serve this model alone; may be given again [all]"),
    )
    parser.add_argument(
        "--gated",
        action="store_true",
        help=_("serve models, too, whose card says that they are gated"),
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    """Serve until Ctrl-C."""
    if not 0 <= args.port <= 65535:
        raise UsageError("--port {port} is no port; choose one from 0 to 65535.", port=args.port)
    catalogue = _catalogue(args)
    with _listen(catalogue, args, console) as server:
        _announce(console, server, catalogue)
        server.serve_forever()
    return 0


def _catalogue(args: argparse.Namespace) -> "CacheCatalogue":
    folder = disk.hub_cache(args.cache_dir)
    if not folder.is_dir():
        raise ModelError(
            "There is no cache at {folder}, so there is nothing to serve; download a model "
            "first, or name another folder with --cache-dir.",
            folder=folder,
        )
    only = set(args.model) if args.model else None
    # It reads cards through huggingface_hub, which `--help` should not wait for.
    module = extras.load("avalan.hub.cache_catalogue")
    catalogue: CacheCatalogue = module.CacheCatalogue(folder, only=only, gated=args.gated)
    known = {*catalogue.names(), *catalogue.left_out()}
    for name in args.model or ():
        if name not in known:
            raise ModelError(
                "The cache at {folder} holds no model {name!r}; `avalan` shows what is on disk.",
                folder=folder,
                name=name,
            )
    return catalogue


def _listen(catalogue: "CacheCatalogue", args: argparse.Namespace, console: Console) -> HubServer:
    report = _reporter(console) if console.verbose else None
    try:
        return HubServer(catalogue, host=args.host, port=args.port, on_request=report)
    except socket.gaierror:
        raise ConfigurationError(
            "There is no host {host!r}; give an address of this machine, such as --host {example}",
            host=args.host,
            example=HOST,
        ) from None
    except OSError as error:
        raise _refused(error, args.host, args.port) from None


def _refused(error: OSError, host: str, port: int) -> AvalanError:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else PORT
        return StateError(
            "Another program listens on port {port} on {host}; end it, or choose another port, "
            "for example: --port {other}",
            port=port,
            host=host,
            other=other,
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(
            "The address of port {port} on {host} is not this machine's; give one that is, or "
            "0.0.0.0 for all.",
            port=port,
            host=host,
        )
    return StateError(
        "The system refused port {port} on {host} ({reason}); choose another --host or --port.",
        port=port,
        host=host,
        reason=reason_of(error),
    )


def _announce(console: Console, server: HubServer, catalogue: "CacheCatalogue") -> None:
    names, left_out = catalogue.names(), catalogue.left_out()
    address = _reachable(server)
    sizes = {each.name: each.size_bytes for each in disk.hub_models(catalogue.folder, parts=True)}
    size = sum(sizes.get(name, 0) for name in names)
    console.note(
        ngettext(
            "Serving {n} model ({size}) from {folder}; Ctrl-C ends it.",
            "Serving {n} models ({size}) from {folder}; Ctrl-C ends it.",
            len(names),
            size=bytes_text(size),
            folder=catalogue.folder,
        )
    )
    if left_out:
        console.note(
            _(
                "Left out, since their cards say that they are gated: {names} "
                "(--gated serves them).",
                names=", ".join(left_out),
            )
        )
    console.note(
        _("Only this machine can reach it; --host 0.0.0.0 lets the whole network in.")
        if server.is_loopback
        else _("Everyone on this network can read these models.")
    )
    if console.as_json:
        console.json({"url": address, "models": names, "left_out": left_out, "size_bytes": size})
        return
    console.note(_("Where the models are wanted, type:"))
    console.print(f"export HF_ENDPOINT={address}")


def _reachable(server: HubServer) -> str:
    """The server's address for other machines, where it listens on all of this one's."""
    host = server.server_name
    if host in _EVERY_ADDRESS:
        host = _own_address(server.address_family) or socket.gethostname()
    return url(host, server.server_port)


def _own_address(family: int) -> str | None:
    """The address that this machine would use to reach others; nothing is sent."""
    elsewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:  # There is no network.
            return None
        return str(probe.getsockname()[0])


def _reporter(console: Console) -> Callable[[Served], None]:
    def report(served: Served) -> None:
        what = f"{served.repository} {served.file}" if served.file else served.target
        size = bytes_text(served.num_bytes)
        line = f"{served.client} {served.status} {served.method} {what} {size}"
        # It is other people's text, and one request is one line.
        console.note(neutralise(line).replace("\n", "␊"))

    return report
