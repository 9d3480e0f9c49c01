"""`tumorlens serve` and `tumorlens accounts`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tumorlens.cli.options import Weights, make_console
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import ConfigError, needs_extra

if TYPE_CHECKING:
    from tumorlens.node.config import NodeConfig
    from tumorlens.web.accounts import Accounts
    from tumorlens.web.settings import Settings

accounts_app = typer.Typer(no_args_is_help=True, help="Who may use the page where it asks for accounts.")

Home = Annotated[
    Path | None,
    typer.Option(help="Folder of cases and database; ~/.local/share/tumorlens, or what TUMORLENS_HOME names."),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database", envvar="TUMORLENS_DATABASE", help="postgresql://USER:PASSWORD@HOST/NAME; SQLite without."
    ),
]


def serve(
    host: Annotated[
        str, typer.Option(help="Address to bind to. Others than this machine's own take accounts.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any that is free.")] = 8000,
    home: Home = None,
    database: DatabaseUrl = "",
    weights: Weights = DEFAULT_WEIGHTS,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that read scans.")] = 2,
    keep_days: Annotated[float, typer.Option(min=0.001, help="Days after which a case is deleted.")] = 30,
    deidentify: Annotated[bool, typer.Option(help="De-identify DICOM files on arrival.")] = True,
    accounts: Annotated[
        bool | None, typer.Option(help="Ask people to log in; by default where others than this machine can reach it.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM file; with --tls-key the page speaks HTTPS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file.")] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Address of the proxy that speaks HTTPS for the page, such as 127.0.0.1.")
    ] = None,
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Let passwords travel in the clear: on networks you trust alone.")
    ] = False,
    host_name: Annotated[
        list[str] | None, typer.Option(help="Name the page is reached by, such as scans.example.org; repeatable.")
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(help="Folder of reports of audits, tests and validations, to be shown on the page's Model."),
    ] = None,
    node: Annotated[
        Path | None,
        typer.Option(help="node.yaml of a node to run beside it: its studies are cases, and assessments go back."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Read scans in the browser: findings, heat maps, a worklist, feedback, reports and an API.

    Works offline. On this machine alone it asks nobody to log in; bound to another address it takes accounts
    (`tumorlens accounts add`) and HTTPS. Ctrl-C ends it; cases that were being read go on at the next start. With
    --node, page and node are two processes: one that dies is started again while the other goes on.
    """
    from tumorlens.web.settings import LOCAL_NAMES, is_local

    if (tls_certificate is None) != (tls_key is None):
        raise ConfigError("--tls-certificate and --tls-key go together")
    for file in (tls_certificate, tls_key):
        if file is not None and not file.is_file():
            raise ConfigError(f"{file}: there is no such file")
    if reports is not None and not reports.is_dir():
        remedy = "give one that `tumorlens data audit`, `evaluate` or `validate` wrote into"
        raise ConfigError(f"{reports}: there is no such folder; {remedy}")
    https, local = tls_certificate is not None or proxy is not None, is_local(host)
    if not local and not https and not insecure_http:
        raise ConfigError(
            f"{host} is reached from other machines, and passwords would travel in the clear; give --tls-certificate "
            "and --tls-key, or --proxy, or --insecure-http"
        )
    asked = accounts if accounts is not None else not local or proxy is not None
    if proxy is not None and not asked:
        raise ConfigError("--proxy with --no-accounts would let everybody in")
    beside = None if node is None else _node(node, weights)
    settings = _settings(
        home,
        database,
        host=host,
        port=port,
        weights=weights if beside is None else beside.weights or DEFAULT_WEIGHTS,
        exchange=None if beside is None else beside.exchange.absolute(),
        workers=workers,
        keep_days=keep_days,
        deidentify=deidentify,
        accounts=asked,
        https=https,
        reports=reports,
        hosts=(*host_name, *((host, *LOCAL_NAMES) if local else ())) if host_name else (),
    )
    with needs_extra("the page", "web"):
        from tumorlens.web.server import run
    browse = open_browser and sys.stdout.isatty()
    tls = (tls_certificate, tls_key)
    if node is None:
        run(settings, tls, proxy=proxy, open_browser=browse)
        return
    from tumorlens.cli.node import run_node
    from tumorlens.cli.together import Half, run_together

    page = Half("page", partial(run, settings, tls, proxy=proxy, open_browser=browse))
    if code := run_together([Half("node", run_node, node.absolute(), False), page]):
        raise typer.Exit(code)


def _node(path: Path, weights: str) -> NodeConfig:
    """The settings of a node to run beside the page; ConfigError if they do not go with it."""
    with needs_extra("the node", "hospital"):
        from tumorlens.node.config import read_node_config
    config = read_node_config(path)
    if config.page is None:
        raise ConfigError(f"{path}: says nothing of the page; add a line 'page: {{}}', see docs/hospital.md")
    if weights not in (DEFAULT_WEIGHTS, config.weights or DEFAULT_WEIGHTS):
        raise ConfigError(f"--weights {weights}: beside a node the page has the node's; set weights in {path}")
    return config


@accounts_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Such as jane.")],
    role: Annotated[str, typer.Option(help="reader, or admin: sees accounts and the audit log too.")] = "reader",
    home: Home = None,
    database: DatabaseUrl = "",
    password_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the password; it is asked for without.")
    ] = None,
) -> None:
    """Add an account. The password has at least 12 characters."""
    with _accounts(home, database) as accounts:
        accounts.add(name, _password(password_file), role)
    make_console().say(f"added {name}, {role}")


@accounts_app.command("password")
def password(
    name: Annotated[str, typer.Argument()],
    home: Home = None,
    database: DatabaseUrl = "",
    password_file: Annotated[Path | None, typer.Option(help="File whose first line is the password.")] = None,
) -> None:
    """Give an account another password; log it out everywhere, and end its tokens."""
    with _accounts(home, database) as accounts:
        accounts.set_password(name, _password(password_file))
    make_console().say(f"{name} has another password")


@accounts_app.command("remove")
def remove(name: Annotated[str, typer.Argument()], home: Home = None, database: DatabaseUrl = "") -> None:
    """Remove an account with its tokens. What it said of scans stays."""
    with _accounts(home, database) as accounts:
        accounts.remove(name)
    make_console().say(f"removed {name}")


@accounts_app.command("list")
def list_accounts(home: Home = None, database: DatabaseUrl = "") -> None:
    """List the accounts."""
    with _accounts(home, database) as accounts:
        rows = [(a.name, a.role) for a in accounts.all()]
    make_console().table(("account", "role"), rows)


@accounts_app.command("token")
def token(
    name: Annotated[str, typer.Argument(help="The account it acts as.")],
    purpose: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    days: Annotated[float, typer.Option(min=0.001, help="Days it is valid.")] = 365,
    home: Home = None,
    database: DatabaseUrl = "",
) -> None:
    """Make a token for a program, and print it, this once."""
    with _accounts(home, database) as accounts:
        typer.echo(accounts.add_token(name, purpose, days))


def _settings(home: Path | None, database: str, **options: object) -> Settings:
    from tumorlens.web.settings import Settings, default_home

    return Settings(home=(home or default_home()).absolute(), database=database, **options)


@contextmanager
def _accounts(home: Path | None, database: str) -> Iterator[Accounts]:
    with needs_extra("the page", "web"):
        from tumorlens.web.accounts import Accounts
        from tumorlens.web.database import Database
    settings = _settings(home, database)
    settings.prepare()
    opened = Database(settings.database_url)
    try:
        opened.migrate()
        yield Accounts(opened)
    finally:
        opened.close()


def _password(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("password", hide_input=True, confirmation_prompt=True))
    try:
        return file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read as text; put the password into its first line") from error
