"""`tumorlens results`: the DICOM and FHIR results of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tumorlens.cli.options import Quiet, Weights, make_console
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import needs_extra
from tumorlens.listener import Listener


def results(
    paths: Annotated[list[Path], typer.Argument(metavar="STUDY", help="Folder or DICOM files of one study.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the result objects.")],
    weights: Weights = DEFAULT_WEIGHTS,
    fhir: Annotated[bool, typer.Option("--fhir", help="Also write bundle.json, the finding in FHIR R4B.")] = False,
    candidates: Annotated[
        bool,
        typer.Option(
            "--candidate-codes",
            help="Name tumours with SNOMED CT codes that nobody here could look up; docs/dicom-results.md lists them.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Analyse one DICOM study and write its results as DICOM objects.

    Writes overlays (Secondary Capture), the region (Segmentation), the heat map (Parametric Map), contours
    (presentation state) and a structured report. They are research results: preliminary and unverified. The same study
    and weights give objects with the same UIDs.

    --weights MR=…,CT=… names weights for each modality, and the files say which are theirs.

    Exits with 0 if all files were read, 1 if some could not be (the others are still done), 2 for wrong usage or
    unusable weights.
    """
    import json

    from tumorlens.classifier import Classifier
    from tumorlens.cli.weights import choose_weights
    from tumorlens.results.analysis import analyse
    from tumorlens.results.make import KINDS, make_results, write_results

    console = make_console(quiet)
    classifier = Classifier.load(choose_weights(weights, paths))
    with needs_extra("DICOM results", "hospital"):
        with console.progress("reading slices", "files") as progress:
            analysed = analyse(paths, classifier, listener=Listener(progress=progress))
        with console.working("making the results"):
            made = make_results(analysed, classifier.card, candidates=candidates)
            written = write_results(made, output)
        rows = [
            (path.name, KINDS[r.SOPClassUID].replace("-", " "), str(r.get("NumberOfFrames", "")), r.SeriesDescription)
            for path, r in zip(written, made, strict=True)
        ]
        if fhir:
            from tumorlens.results.fhir import to_fhir

            bundle = to_fhir(analysed, classifier.card, candidates=candidates)
            (output / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
            rows.append(("bundle.json", "FHIR bundle", "", "preliminary DiagnosticReport"))
    console.table(("file", "what", "frames", "series"), rows)
    console.say(f"{analysed.study.text}; {len(analysed.slices)} slices, research use only")
    for warning in analysed.warnings:
        console.say(f"warning: {warning}")
    if analysed.left_out:
        console.say(f"{analysed.left_out} objects that are no such images were left out")
    for failure in analysed.failures:
        typer.echo(f"error: {failure}", err=True)
    if analysed.failures:
        raise typer.Exit(1)
