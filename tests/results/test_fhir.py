"""The FHIR bundle is valid, says what was found, and is sent or not with a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle

from tumorlens.classifier import Classifier
from tumorlens.errors import PeerError
from tumorlens.results.analysis import analyse
from tumorlens.results.fhir import push, to_fhir
from tumorlens.results.make import make_results
from tumorlens.results.slices import AnalysedStudy

# Codes with a required binding in R4B, of the elements that we write. fhir.resources takes any text for them.
ENUMERATIONS = {
    ("Bundle", "type"): {"document", "message", "transaction", "batch", "collection", "searchset", "history"},
    ("DiagnosticReport", "status"): {
        *("registered", "partial", "preliminary", "final", "amended", "corrected", "appended"),
        *("cancelled", "entered-in-error", "unknown"),
    },
    ("Observation", "status"): {
        *("registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"),
    },
    ("Device", "status"): {"active", "inactive", "entered-in-error", "unknown"},
    ("DeviceName", "type"): {
        *("udi-label-name", "user-friendly-name", "patient-reported-name", "manufacturer-name", "model-name", "other"),
    },
    ("Request", "method"): {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"},
}


def coded(bundle: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every element of a bundle that `ENUMERATIONS` knows: (type, element, value)."""
    yield "Bundle", "type", bundle.get("type", "")
    for entry in bundle.get("entry", ()):
        if "request" in entry:
            yield "Request", "method", entry["request"].get("method", "")
        resource = entry["resource"]
        if ((kind := resource["resourceType"]), "status") in ENUMERATIONS:
            yield kind, "status", resource.get("status", "")
        for name in resource.get("deviceName", ()):
            yield "DeviceName", "type", name.get("type", "")


@pytest.fixture
def tumour(make_study: Callable[..., Path], bright: Classifier) -> AnalysedStudy:
    return analyse(make_study(), bright)


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def test_the_bundle_is_valid_and_survives_json(tumour: AnalysedStudy, bright: Classifier) -> None:
    bundle = json.loads(json.dumps(to_fhir(tumour, bright.card)))

    assert len(Bundle.model_validate(bundle).entry) == 6
    codes = list(coded(bundle))
    assert {kind for kind, _, _ in codes} == {kind for kind, _ in ENUMERATIONS}
    assert [c for c in codes if c[2] not in ENUMERATIONS[c[:2]]] == []


def test_the_report_is_preliminary_and_refers_to_study_and_dicom_report(
    tumour: AnalysedStudy, bright: Classifier
) -> None:
    (report,) = resources(to_fhir(tumour, bright.card), "DiagnosticReport")
    dicom_report = make_results(tumour, bright.card)[-1].SOPInstanceUID

    assert report["status"] == "preliminary"
    assert report["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{tumour.identity.study}"
    assert report["identifier"][0]["value"] == f"urn:oid:{dicom_report}"
    assert report["subject"]["identifier"]["value"] == "PH-1"
    assert "research use only" in report["conclusion"]
    assert "glioma" in report["conclusion"]


def test_observations_say_presence_and_probabilities(tumour: AnalysedStudy, bright: Classifier) -> None:
    study, *slices = resources(to_fhir(tumour, bright.card), "Observation")
    values = {c["code"]["text"]: c.get("valueQuantity", {}).get("value") for c in study["component"]}

    assert study["valueCodeableConcept"]["text"] == "Present"
    assert values["Probability of glioma"] == pytest.approx(0.7)
    assert len(slices) == 3
    named = [c["valueString"] for o in slices for c in o["component"] if c["code"]["text"] == "SOP Instance UID"]
    assert named == [f"urn:oid:{s.header.uid}" for s in tumour.pictured]


def test_references_lead_to_what_is_in_the_bundle(tumour: AnalysedStudy, bright: Classifier) -> None:
    bundle = to_fhir(tumour, bright.card)
    (report,) = resources(bundle, "DiagnosticReport")
    study, *_ = resources(bundle, "Observation")
    there = {e["fullUrl"] for e in bundle["entry"]}

    assert {r["reference"] for r in [*report["result"], *study["hasMember"], study["device"]]} <= there


def test_no_tumour_is_absent_and_unknown_scans_undetermined(
    make_study: Callable[..., Path], bright: Classifier, strange: Classifier
) -> None:
    folder = make_study(lesion=False)
    for classifier, said in ((bright, "Absent"), (strange, "Undetermined")):
        bundle = to_fhir(analyse(folder, classifier), classifier.card)
        assert resources(bundle, "Observation")[0]["valueCodeableConcept"]["text"] == said
        assert "conclusionCode" not in resources(bundle, "DiagnosticReport")[0]


def test_made_again_it_replaces_itself(tumour: AnalysedStudy, bright: Classifier) -> None:
    requests = [e["request"] for e in to_fhir(tumour, bright.card)["entry"]]

    assert requests == [e["request"] for e in to_fhir(tumour, bright.card)["entry"]]
    assert all(r["method"] == "PUT" for r in requests)


def test_a_server_gets_one_transaction(tumour: AnalysedStudy, bright: Classifier) -> None:
    got = []

    def server(request: httpx.Request) -> httpx.Response:
        got.append(json.loads(request.content))
        assert request.headers["Content-Type"] == "application/fhir+json"
        assert request.headers["Authorization"] == "Bearer t"
        return httpx.Response(200, json={"resourceType": "Bundle", "type": "transaction-response"})

    bundle = to_fhir(tumour, bright.card)
    transport = httpx.MockTransport(server)
    push(bundle, "https://fhir.example/r4", transport=transport, headers={"Authorization": "Bearer t"})

    assert got == [bundle]


def test_a_refusal_is_told_without_what_the_server_quotes(tumour: AnalysedStudy, bright: Classifier) -> None:
    outcome = {"issue": [{"code": "not-found", "diagnostics": "no patient PH-1"}, {"code": "PH-1 Petra"}]}
    transport = httpx.MockTransport(lambda _: httpx.Response(422, json=outcome))

    with pytest.raises(PeerError, match=r"https://fhir.example: refused .* 422 \(not-found\)") as caught:
        push(to_fhir(tumour, bright.card), "https://user:secret@fhir.example/r4", transport=transport)
    assert "PH-1" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_refusal_in_no_json_is_told_too(tumour: AnalysedStudy, bright: Classifier) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(500, text="<html>oops</html>"))

    with pytest.raises(PeerError, match="status 500;"):
        push(to_fhir(tumour, bright.card), "https://fhir.example/r4", transport=transport)


def test_a_server_that_is_away_is_an_error_of_ours(tumour: AnalysedStudy, bright: Classifier) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(PeerError, match="cannot be reached"):
        push(to_fhir(tumour, bright.card), "https://fhir.example/r4", transport=httpx.MockTransport(away))


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://fhir.example", "http://[", "http://"])
def test_an_address_that_is_none_is_an_error_of_ours(url: str, tumour: AnalysedStudy, bright: Classifier) -> None:
    with pytest.raises(PeerError, match="cannot be reached"):
        push(to_fhir(tumour, bright.card), url)
