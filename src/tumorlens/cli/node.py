"""`tumorlens node`: a DICOM node in a hospital's network."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Quiet, make_console
from tumorlens.errors import needs_extra

app = typer.Typer(
    help="Receive studies over DICOM or DICOMweb, analyse them, and send the results back.", no_args_is_help=True
)

Config = Annotated[Path, typer.Option("--config", "-c", help="The node's YAML file.")]
_DEFAULT = Path("node.yaml")
_HOSPITAL = ("the node", "hospital")


@app.command()
def run(config: Config = _DEFAULT, quiet: Quiet = False) -> None:
    """Run the node, until Ctrl-C or SIGTERM; then the same command goes on where it was."""
    run_node(config, quiet)


def run_node(config: Path, quiet: bool) -> None:
    """Runs a node until SIGINT or SIGTERM, its log on standard error; see `tumorlens node run`.

    Raises:
        ConfigError: If its settings cannot be used.
    """
    import logging

    from tumorlens.node.config import read_node_config

    settings = read_node_config(config)
    with needs_extra(*_HOSPITAL):
        from tumorlens.node.flow import check_analysis
        from tumorlens.node.node import Node
    check_analysis(settings)
    log = logging.getLogger("tumorlens")
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    Node(settings).run()


@app.command()
def check(
    study: Annotated[Path, typer.Argument(help="A folder of a study's DICOM files.")], config: Config = _DEFAULT
) -> None:
    """Say of each series of a study whether the rules take it and, if not, every reason; nothing is sent anywhere."""
    from tumorlens.errors import InputError
    from tumorlens.formats import find_sources
    from tumorlens.node.config import read_node_config
    from tumorlens.node.rules import judge, read_instances

    settings = read_node_config(config)
    console = make_console()
    sources = [s for s in find_sources(study) if s.error is None]
    instances, bad = read_instances(s.path for s in sources)
    if not instances:
        raise InputError(study, "there is no DICOM file in it", "give the folder of a study")
    rows = []
    for verdict in judge(instances, settings.rules):
        number = "" if verdict.number is None else str(verdict.number)
        taken = f"{len(verdict.taken)} of {verdict.instances}"
        rows.append((number, verdict.description, taken, "; ".join(verdict.reasons)))
    console.table(("series", "description", "taken", "why others are not"), rows)
    for path, problem in bad.items():
        console.say(f"{path}: {problem}")


@app.command()
def status(
    config: Config = _DEFAULT,
    uids: Annotated[bool, typer.Option("--uids", help="Show UIDs; by default their stand-ins in the log.")] = False,
) -> None:
    """Show where studies, results and deliveries stand, and the dead letters: what could not be done, and why."""
    from tumorlens.node.config import read_node_config

    with needs_extra(*_HOSPITAL):
        from tumorlens.node.node import open_ledger
        from tumorlens.node.status import dead_letters, study_states, totals

    console = make_console()
    with closing(open_ledger(read_node_config(config).folder)) as ledger:
        console.table(("studies", "count"), [(k, str(n)) for k, n in study_states(ledger).items()])
        console.table(("in all", "count"), [(k, str(n)) for k, n in totals(ledger).items()])
        letters = dead_letters(ledger)
    if letters:
        rows = [(x.id, x.what, x.uid if uids else x.name, x.reason) for x in letters]
        console.table(("dead letter", "what", "which", "reason"), rows)


@app.command()
def retry(
    letters: Annotated[list[str] | None, typer.Argument(help="Dead letters, such as d7.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    config: Config = _DEFAULT,
) -> None:
    """Try dead letters again, as `tumorlens node status` lists them; the running node notices."""
    from tumorlens.errors import ConfigError
    from tumorlens.node.config import read_node_config

    with needs_extra(*_HOSPITAL):
        from tumorlens.node.node import open_ledger
        from tumorlens.node.status import retry as again

    if not letters and not everything:
        raise ConfigError("name dead letters, or give --all")
    with closing(open_ledger(read_node_config(config).folder)) as ledger:
        make_console().say(f"will be tried again: {again(ledger, None if everything else letters)}")


@app.command()
def pull(
    source: Annotated[str, typer.Option("--from", help="Name of a source in the YAML file.")],
    study: Annotated[str, typer.Option(help="StudyInstanceUID.")],
    config: Config = _DEFAULT,
) -> None:
    """Have a PACS send a study: C-FIND, then C-MOVE to the running node, or C-GET."""
    from tumorlens.node.config import read_node_config

    settings = read_node_config(config)
    with needs_extra(*_HOSPITAL):
        from tumorlens.node.node import pull_study
    came, failed = pull_study(settings, source, study)
    make_console().say(f"instances that came: {came}, that failed: {failed}")
    if failed:
        raise typer.Exit(1)
