"""A page of one file, with Gradio: drop a slice, see class, probabilities, heat map and warnings.

pip install gradio
python examples/gradio_app.py

It is an example of how findings are used, and not the page for a department: that is `tumorlens serve`, which keeps
cases, de-identifies DICOM files and asks people to log in. For research only: not a medical device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from tumorlens import Classifier, TumorLensError
from tumorlens.phantoms import EXAMPLE


def make_reader(classifier: Classifier) -> Any:
    """The function behind the page: a file -> probabilities by class, the overlay, and the finding in words."""
    names = {c.key: c.name for c in classifier.card.classes}

    def read(file: str | Path) -> tuple[dict[str, float], Any, str]:
        try:
            finding = classifier.find(file)[0]
        except TumorLensError as error:  # a line that names the file and the remedy, without anything of a patient
            raise gr.Error(str(error)) from error
        words = [str(finding), *finding.warnings]
        probabilities = {names[key]: p for key, p in finding.probabilities.items()}
        return probabilities, finding.overlay(), "\n".join(f"- {text}" for text in words)

    return read


def build(classifier: Classifier) -> gr.Interface:
    """The page."""
    return gr.Interface(
        fn=make_reader(classifier),
        inputs=gr.File(label="A slice: PNG, JPEG, TIFF, DICOM, NIfTI", type="filepath"),
        outputs=[
            gr.Label(label="Probabilities"),
            gr.Image(label="Scan with heat map", type="pil"),
            gr.Markdown(label="Finding and warnings"),
        ],
        examples=[[str(EXAMPLE)]],
        cache_examples=False,
        api_name="find",
        flagging_mode="never",  # it would keep what was dropped
        title="TumorLens",
        description="For research only: not a medical device, not for diagnosis. The example is a phantom.",
    )


if __name__ == "__main__":
    build(Classifier.load()).launch()
