"""Results of many scans, streamed to disk: findings.json, and tables of a row a scan and a row a study."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain, zip_longest
from typing import IO, Any

from tumorlens.batch.store import OutputFolder
from tumorlens.batch.studies import StudySpool
from tumorlens.card import WeightsCard
from tumorlens.finding import SCHEMA, WeightsId
from tumorlens.study_record import StudyRecord
from tumorlens.version import __version__

DOCUMENT = "findings.json"
TABLES = ("results.csv", "results.parquet")
STUDIES = "studies.csv"
"""Table of studies and volumes, a row each; written where there are some."""

_ROWS = 10_000  # that Parquet keeps together


def tables() -> tuple[str, ...]:
    """Names of the tables that can be written here: Parquet takes the extra `batch`."""
    return TABLES if find_spec("pyarrow") else TABLES[:1]


def write_results(
    store: OutputFolder, parts: Iterator[list[dict[str, Any]]], card: WeightsCard
) -> Iterator[StudyRecord]:
    """Writes the tables and findings.json, the latter last: a folder that has one is complete.

    Gives the findings of studies, as they are written; nothing is written before they are asked for.

    Args:
        store: The folder.
        parts: The results, chunk by chunk; each chunk's `FileFindings`s as JSON has them.
        card: Of the weights.
    """
    columns = _columns(card.classes.keys)
    weights = WeightsId(name=card.name, sha256=card.sha256)
    head = {"schema": SCHEMA, "version": __version__, "weights": weights.model_dump()}
    with (
        store.writing(DOCUMENT, durable=True) as document,
        _parquet(store, columns) as write_columns,
        store.writing(TABLES[0], durable=True) as table,
        document.open("w", encoding="ascii") as json_file,
        table.open("w", newline="", encoding="utf-8") as csv_file,
        tempfile.TemporaryFile("w+", encoding="ascii") as failures,
        StudySpool(card) as spool,
    ):
        writer = csv.DictWriter(csv_file, [name for name, _ in columns])
        writer.writeheader()
        json_file.write(json.dumps(head, indent=1)[:-2] + ',\n "findings": [')
        findings, failed = _Listing(json_file), _Listing(failures)
        rows: list[dict[str, Any]] = []
        for done in chain.from_iterable(parts):
            for finding, place in zip_longest(done["findings"], done["places"]):
                findings.add(finding)
                spool.add(finding, place)
                rows.append(_row(finding))
            for failure in done["failures"]:
                failed.add(failure)
                rows.append({"source": _text(failure["source"]), "error": failure["error"]})
            if len(rows) >= _ROWS:
                writer.writerows(rows)
                write_columns(rows)
                rows.clear()
        writer.writerows(rows)
        write_columns(rows)
        json_file.write('\n ],\n "failures": [')
        failures.seek(0)
        shutil.copyfileobj(failures, json_file)
        json_file.write('\n ],\n "studies": [')
        studies = _Listing(json_file)
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as rows_of_studies:
            study_writer = csv.DictWriter(rows_of_studies, study_columns(card.classes.keys))
            study_writer.writeheader()
            for record in spool.records():
                studies.add(record.model_dump())
                study_writer.writerow(study_row(record))
                yield record
            if studies.comma:
                _copy(rows_of_studies, store)
        json_file.write("\n ]\n}\n")


def _copy(rows: IO[str], store: OutputFolder) -> None:
    """Writes the table of studies."""
    rows.seek(0)
    with store.writing(STUDIES, durable=True) as path, path.open("w", newline="", encoding="utf-8") as file:
        shutil.copyfileobj(rows, file)


@contextmanager
def _parquet(store: OutputFolder, columns: list[tuple[str, str]]) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Takes rows for results.parquet, which is written where the extra `batch` is installed."""
    if TABLES[1] not in tables():
        yield lambda _: None
        return
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(columns)
    with store.writing(TABLES[1], durable=True) as path, parquet.ParquetWriter(path, schema) as file:
        yield lambda rows: file.write_table(pa.Table.from_pylist(rows, schema))


class _Listing:
    """Records in a JSON list, a line each: indented ones take five times as long."""

    def __init__(self, file: IO[str]) -> None:
        self.file, self.comma = file, ""

    def add(self, record: dict[str, Any]) -> None:
        self.file.write(f"{self.comma}\n  {json.dumps(record)}")
        self.comma = ","


def read_document(output: str) -> Iterator[str]:
    """A folder's findings.json, piece by piece."""
    with OutputFolder(output).reading(DOCUMENT) as file:
        while block := file.read(1 << 16):
            yield block.decode("ascii")


def _columns(keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Names and types of a table's columns: the fields of `FindingRecord`, in its order."""
    return [
        *(("source", "string"), ("frame", "int32")),
        *(("unknown", "bool"), ("strangeness", "float64"), ("reason", "string")),
        *(("label", "string"), ("confidence", "float64"), ("close_call", "bool")),
        *((f"probability_{key}", "float64") for key in keys),
        *(("prediction_set", "string"), ("explained", "string"), ("method", "string")),
        *((edge, "int32") for edge in _EDGES),
        *(("area", "int64"), ("area_mm2", "float64")),
        *((name, "string") for name in ("heatmap", "overlay", "warnings", "error")),
    ]


_EDGES = ("x0", "y0", "x1", "y1")


_SAME = ("frame", "unknown", "strangeness", "reason", "label", "confidence", "close_call", "explained", "method")


def _row(finding: dict[str, Any]) -> dict[str, Any]:
    """A finding's row; what is missing stays empty."""
    row = {key: finding[key] for key in _SAME}
    row |= {key: finding[key] and _text(finding[key]) for key in ("source", "heatmap", "overlay")}
    row |= {f"probability_{key}": value for key, value in finding["probabilities"].items()}
    row["prediction_set"] = "|".join(finding["prediction_set"])
    row["warnings"] = "; ".join(finding["warnings"])
    if region := finding["region"]:
        row |= {"area": region["area"], "area_mm2": region["area_mm2"], **dict(zip(_EDGES, region["box"], strict=True))}
    return row


def study_columns(keys: tuple[str, ...]) -> list[str]:
    """Columns of studies.csv: the fields of `StudyRecord`, in its order."""
    spread = {"probabilities": [f"probability_{key}" for key in keys], "counts": [f"count_{key}" for key in keys]}
    return [column for name in StudyRecord.model_fields for column in spread.get(name, [name])]


def study_row(study: StudyRecord) -> dict[str, Any]:
    """A study's row. Slices are written as FILE#FRAME, as in manifests; series as JSON."""
    row: dict[str, Any] = study.model_dump(exclude={"probabilities", "counts", "key_slices", "suspected", "series"})
    row["source"] = _text(study.source)
    row |= {f"probability_{key}": value for key, value in study.probabilities.items()}
    row |= {f"count_{key}": value for key, value in study.counts.items()}
    for name in ("key_slices", "suspected"):
        row[name] = "|".join(f"{_text(each.source)}#{each.frame}" for each in getattr(study, name))
    row["series"] = json.dumps([each.model_dump() for each in study.series])
    return row


def _text(name: str) -> str:
    """A file name as text that no spreadsheet takes for a formula: the same file, by another path.

    On Linux, names are bytes; no table takes those that are no text.
    """
    text = name.encode("utf-8", "backslashreplace").decode()
    return f"./{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
