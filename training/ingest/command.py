"""The command `import`: its options, its output and its exit codes."""

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from training.cli.options import FILE, FOLDER
from training.data.tables import writing
from training.ingest.folder import check_target
from training.ingest.formats import DEFAULT_ENCODING
from training.ingest.guess import propose
from training.ingest.job import run_import
from training.ingest.mapping import read_mapping
from training.ingest.proposal import Proposal
from training.ingest.remote import fetched
from training.ingest.sources import Given
from training.ingest.summary import summary_page, summary_text

log = logging.getLogger(__name__)
UNCLEAR = 2
"""Exit code: a question about the files is open, and nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the command was given."""

    files: Sequence[Path]
    out: Path | None = None
    """None: only print the guessed mapping."""
    mapping: Path | None = None
    """None: guess."""
    encoding: str | None = None
    max_rejected: float | None = None
    yes: bool = False
    """Take the likeliest answer to every question about columns."""
    force: bool = False
    report: Path | None = None
    as_json: bool = False
    step: bool = False
    """A step of `magnet run`, which goes on by itself."""


def import_files(options: ImportOptions) -> int:
    """Import, or print the guessed mapping; returns the exit status.

    Raises:
        DataError: files, mapping or folder cannot be used.
    """
    if options.out is not None:
        check_target(options.out, options.force)
    beside = options.out or Path("import")
    with fetched(options.files, beside.with_name(f".{beside.name}.fetched")) as files:
        return _import_local(replace(options, files=files))


def _import_local(options: ImportOptions) -> int:
    notes: list[str] = []
    if options.mapping is not None:
        mapping = read_mapping(options.mapping)
    else:
        proposal = propose(Given.of(options.files), options.encoding or DEFAULT_ENCODING)
        notes = proposal.notes
        if not _show_proposal(proposal, options):
            return UNCLEAR
        mapping = proposal.mapping
    if options.out is None:
        return 0
    instead = {"encoding": options.encoding, "max_rejected": options.max_rejected}
    mapping = mapping.model_copy(update={k: v for k, v in instead.items() if v is not None})
    summary = run_import(options.files, mapping, options.out, force=options.force, notes=notes)
    if options.report is not None:
        remedy = "the import is done; give --force and another --report to do it again"
        with writing(options.report, remedy):
            options.report.write_text(summary_page(summary), encoding="utf-8")
    if options.as_json:
        click.echo(summary.model_dump_json(indent=2))
    else:
        sys.stdout.write(summary_text(summary, options.out))
        if not options.step:
            told = "(encodes what can be, trains, publishes and serves)"
            click.echo(f"next: magnet run --data {options.out}    {told}")
    return 0


@click.command("import")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=FILE,
    metavar="FILE...",
    help="CSV, TSV, JSON Lines, Parquet, RecBole or MMRec files, or folders of them, also at s3:// "
    "or gs://; text may be compressed (.gz)",
)
@click.option("--out", type=FOLDER, help="the folder to write  [default: print the mapping]")
@click.option("--mapping", type=FILE, metavar="TOML", help="what the columns mean")
@click.option("--guess", is_flag=True, help="guess what the columns mean (the default)")
@click.option(
    "--yes", is_flag=True, help="where two columns fit equally, take the first, and say so"
)
@click.option(
    "--encoding",
    metavar="NAME",
    help="of text files that are not UTF-8, such as cp1252  [default: the mapping's, or none]",
)
@click.option(
    "--max-rejected",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="write nothing if more of the rows than this are bad  [default: 0.1, or the mapping's]",
)
@click.option("--force", is_flag=True, help="replace an earlier import in the folder")
@click.option("--report", type=FILE, metavar="HTML", help="also write the summary as one HTML file")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON")
@click.option("--step", is_flag=True, hidden=True, help="of magnet run, which goes on by itself")
def import_command(guess: bool, **options: Any) -> int:
    """Make a data folder from tables of any common kind.

    They say who interacted with what and, if you have it, what is known about the items. What the
    columns mean is guessed from their names and contents, or said by a mapping. Where a guess is
    not clear, the command says which line to write and exits with 2. Rows that cannot be used are
    written to rejects.csv, each with the reason. docs/own-data.md is a tutorial.
    """
    if (guess or options["yes"]) and options["mapping"] is not None:
        wanted = "--guess" if guess else "--yes"
        raise click.UsageError(f"--mapping and {wanted} exclude each other: give one of them")
    return import_files(ImportOptions(**options))


def _show_proposal(proposal: Proposal, options: ImportOptions) -> bool:
    """Print the guessed mapping and open questions; returns whether there are none."""
    if options.yes:
        for line in proposal.settle():
            sys.stderr.write(f"not clear, and taken because of --yes: {line}\n")
    if options.out is not None and not proposal.questions:
        log.info(f"guessed, and written to {options.out / 'mapping.toml'}:\n{proposal.toml}")
        return True
    sys.stdout.write(proposal.toml)
    for note in proposal.notes:
        sys.stderr.write(f"not used: {note}\n")
    for question in proposal.questions:
        lines = "".join(f"\n    {line}" for text in question.lines for line in text.split("\n"))
        write = "write one of" if len(question.lines) > 1 else "write"
        sys.stderr.write(f"not clear: {question.text}; {write}{lines}\n")
    if proposal.questions:
        sys.stderr.write(_how_to_answer(options))
    return not proposal.questions


def _how_to_answer(options: ImportOptions) -> str:
    answer = "take the # off one line for each question, correct what is wrong, and"
    if not options.step:
        return (
            f"keep the mapping above (add > my.toml), {answer} give it back with --mapping "
            "my.toml; or give --yes to take the first line of each\n"
        )
    again = f"magnet import {shlex.join(map(str, options.files))}"
    return (
        f"keep the mapping: {again} > my.toml\n{answer}: {again} --mapping my.toml --out NAME\n"
        f"or take the first line of each: {again} --yes --out NAME\nthen: magnet run --data NAME\n"
    )
