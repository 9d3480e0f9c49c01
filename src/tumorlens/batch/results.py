"""Results of many scans: findings.json, and a table of a row each as CSV and Parquet. None holds them all in memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from itertools import islice

import tumorlens
from tumorlens.batch.store import Store
from tumorlens.batch.work import Done
from tumorlens.card import WeightsCard
from tumorlens.finding import FailureRecord, FindingRecord, WeightsId

DOCUMENT = "findings.json"
TABLES = ("results.csv", "results.parquet")
_ROWS = 10_000  # that Parquet keeps together

Parts = Callable[[], Iterator[list[Done]]]


def write_results(store: Store, parts: Parts, card: WeightsCard) -> None:
    """Writes the tables, and findings.json last: a folder that has one is complete.

    Args:
        store: The folder.
        parts: Gives what was found, chunk by chunk, as often as it is called.
        card: Of the weights.
    """
    _write_tables(store, parts, card)
    weights = WeightsId(name=card.name, sha256=card.sha256)
    with store.writing(DOCUMENT, durable=True) as path, path.open("w", encoding="ascii") as file:
        head = {"schema": 1, "version": tumorlens.__version__, "weights": weights.model_dump()}
        file.write(json.dumps(head, indent=1)[:-2])
        for key in ("findings", "failures"):
            records = (r for part in parts() for done in part for r in getattr(done, key))
            file.write(f',\n "{key}": [')
            for number, record in enumerate(records):
                text = json.dumps(record.model_dump(mode="json"), indent=1).replace("\n", "\n  ")
                file.write((",\n  " if number else "\n  ") + text)
            file.write("\n ]")
        file.write("\n}\n")


def read_document(output: str) -> Iterator[str]:
    """A folder's findings.json, piece by piece."""
    with Store(output).reading(DOCUMENT) as file:
        while block := file.read(1 << 16):
            yield block.decode("ascii")


def _write_tables(store: Store, parts: Parts, card: WeightsCard) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    keys = card.classes.keys
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    kinds = {
        **dict.fromkeys(("source", "label", "prediction_set", "reason", "explained", "method", "warnings"), text),
        **dict.fromkeys(("overlay", "heatmap", "error"), text),
        **dict.fromkeys(("frame", "x0", "y0", "x1", "y1", "area"), whole),
        "unknown": pa.bool_(),
    }
    columns = [*_row(None, FailureRecord(source="", error=""), keys)]
    schema = pa.schema([(name, kinds.get(name, number)) for name in columns])
    with store.writing(TABLES[0], durable=True) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for rows in _rows(parts, keys):
            writer.writerows(rows)
    with store.writing(TABLES[1], durable=True) as path, parquet.ParquetWriter(path, schema) as table:
        for rows in _rows(parts, keys):
            table.write_table(pa.Table.from_pylist(rows, schema))


def _rows(parts: Parts, keys: tuple[str, ...]) -> Iterator[list[dict[str, object]]]:
    """Rows in lists; a scan, or a file that could not be read, is one."""
    rows = (
        row
        for part in parts()
        for done in part
        for row in (
            *(_row(finding, None, keys) for finding in done.findings),
            *(_row(None, failure, keys) for failure in done.failures),
        )
    )
    while some := list(islice(rows, _ROWS)):
        yield some


def _row(found: FindingRecord | None, failure: FailureRecord | None, keys: tuple[str, ...]) -> dict[str, object]:
    region, unknown = (found.region, found.unknown) if found else (None, None)
    box = region.box if region else (None,) * 4
    source = found.source if found else failure.source if failure else ""
    return {
        # File names on Linux are bytes; no table takes those that are no text.
        "source": source.encode("utf-8", "backslashreplace").decode(),
        "frame": found.frame if found else None,
        "label": found.label if found else None,
        "confidence": found.probabilities[found.label] if found else None,
        **{f"probability_{key}": found.probabilities[key] if found else None for key in keys},
        "prediction_set": "|".join(found.prediction_set) if found else None,
        "unknown": unknown.unknown if unknown else None,
        "unknown_score": unknown.score if unknown else None,
        "reason": unknown.reason if unknown else None,
        **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)),
        "area": region.area if region else None,
        "area_mm2": region.area_mm2 if region else None,
        "explained": found.explained if found else None,
        "method": found.method if found else None,
        "warnings": "; ".join(found.warnings) if found else None,
        "overlay": found.overlay if found else None,
        "heatmap": found.heatmap if found else None,
        "error": failure.error if failure else None,
    }
