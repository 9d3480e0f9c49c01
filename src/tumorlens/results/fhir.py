"""FHIR: the study's finding as a preliminary DiagnosticReport for systems that read no DICOM (FHIR R4B).

Example:
    bundle = to_fhir(analysed, card)
    push(bundle, "https://fhir.hospital.example/r4")
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tumorlens.card import WeightsCard
from tumorlens.classes import Code, ScanClass
from tumorlens.errors import PeerError, needs_extra
from tumorlens.results.codes import SCHEME, TERMS, code_of, probability_of
from tumorlens.results.objects import MANUFACTURER, RESEARCH_USE, Maker
from tumorlens.results.slices import AnalysedSlice, AnalysedStudy
from tumorlens.version import __version__

if TYPE_CHECKING:
    import httpx

Resource = dict[str, Any]

SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
    SCHEME: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, SCHEME)}",
}
"""FHIR's code systems, by DICOM's coding scheme designators."""

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"


def to_fhir(analysed: AnalysedStudy, card: WeightsCard, *, candidates: bool = False) -> Resource:
    """The finding of a study as a FHIR bundle, checked against R4B.

    A transaction of PUTs with identifiers of our own: sent again, it replaces itself. DiagnosticReport and
    Observations are "preliminary", refer to the study by its UID and to the patient by the identifier in the scans.

    Arguments are those of `make_results`.

    Returns:
        The bundle as JSON values: a DiagnosticReport, an Observation for the study, one a pictured slice, and the
        Device.

    Raises:
        MissingExtra: If fhir.resources is not installed.
    """
    with needs_extra("FHIR", "hospital"):
        from fhir.resources.R4B.bundle import Bundle

    writer = _Writer(Maker(analysed, card, candidates))
    slices = [writer.of_slice(s, n) for n, s in enumerate(analysed.pictured, 1)]
    study = writer.of_study(slices)
    resources = [writer.report([study, *slices]), study, *slices, writer.device()]
    requests = [{"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"} for r in resources]
    pairs = zip(resources, requests, strict=True)
    entries = [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r, "request": request} for r, request in pairs]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    Bundle.model_validate(bundle)
    return bundle


def push(
    bundle: Resource,
    url: str,
    *,
    transport: httpx.BaseTransport | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> None:
    """Sends a bundle to a FHIR server, as one transaction.

    Args:
        bundle: From `to_fhir`.
        url: The server's base, such as "https://fhir.hospital.example/r4".
        transport: What carries requests, instead of the network.
        headers: Further ones, such as Authorization.
        timeout: Seconds to wait for the server.

    Raises:
        PeerError: If the server cannot be reached or refuses. Its message holds no more of the server's answer
            than status and issue codes, since texts may quote the patient.
        MissingExtra: If httpx is not installed.
    """
    with needs_extra("FHIR", "hospital"):
        import httpx

    server = _server(url)
    accept = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json", "Prefer": "return=minimal"}
    try:
        with httpx.Client(transport=transport, timeout=timeout, headers={**accept, **(headers or {})}) as client:
            answer = client.post(url, json=bundle)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise PeerError(f"{server}: cannot be reached ({type(error).__name__}); check address and network") from error
    if answer.status_code >= 300:
        raise PeerError(
            f"{server}: refused the report with status {answer.status_code}{_issues(answer)}; "
            "it must be a FHIR R4 server that takes transactions and lets clients choose identifiers"
        )


def _server(url: str) -> str:
    """What of an address may be told: it may hold a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the FHIR server"
    return f"{parts.scheme}://{parts.hostname or ''}"


def _issues(answer: httpx.Response) -> str:
    """The codes of an OperationOutcome."""
    try:
        codes = [str(issue["code"]) for issue in answer.json()["issue"]]
    except (ValueError, KeyError, TypeError):
        return ""
    codes = [code for code in codes if code.replace("-", "").isalpha() and len(code) < 30]
    return f" ({', '.join(codes)})" if codes else ""


class _Writer:
    """Writes the resources of one study. Identifiers are derived from the UIDs of its DICOM results."""

    def __init__(self, maker: Maker) -> None:
        self.maker, self.analysed = maker, maker.analysed

    def _id(self, *what: object) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.maker.uid("fhir", *what)))

    def _about(self, kind: str, *what: object) -> Resource:
        """What reports and observations have in common."""
        about: Resource = {
            "resourceType": kind,
            "id": self._id(kind, *what),
            "status": "preliminary",
            "issued": self.analysed.when.astimezone().isoformat(),
        }
        if patient := self.analysed.identity.get("PatientID"):
            # A logical reference: the server finds its own patient by the hospital's identifier.
            medical_record = {"coding": [{"system": f"{_TERMINOLOGY}/v2-0203", "code": "MR"}]}
            about["subject"] = {"type": "Patient", "identifier": {"type": medical_record, "value": patient}}
        return about

    def _study(self) -> Resource:
        return {"type": "ImagingStudy", "identifier": _by_uid(self.analysed.identity.study)}

    def report(self, observations: list[Resource]) -> Resource:
        """The DiagnosticReport; its identifier is the UID of the DICOM report."""
        tumour = self.analysed.tumour
        return {
            **self._about("DiagnosticReport"),
            "identifier": [_by_uid(self.maker.uid("instance", "report", 1))],
            "category": [{"coding": [{"system": f"{_TERMINOLOGY}/v2-0074", "code": "RAD", "display": "Radiology"}]}],
            "code": _concept(self.maker.sought.examination),
            "imagingStudy": [self._study()],
            "result": [{"reference": f"urn:uuid:{o['id']}"} for o in observations],
            "conclusion": f"{RESEARCH_USE}, not a diagnosis: {self.analysed.study.text}",
            **({"conclusionCode": [self._class(tumour)]} if tumour else {}),
        }

    def of_study(self, members: list[Resource]) -> Resource:
        """The Observation that what is sought is present, absent or undetermined in the study."""
        analysed = self.analysed
        observation = self._observation(
            self._about("Observation", "study"), self.maker.sought.finding, _concept(TERMS[analysed.presence].code)
        )
        observation["component"] = self._probabilities(analysed.study.probabilities)
        if tumour := analysed.tumour:
            own = {"code": _concept(TERMS["class"].code), "valueCodeableConcept": self._class(tumour)}
            observation["component"].insert(0, own)
        observation["hasMember"] = [{"reference": f"urn:uuid:{m['id']}"} for m in members]
        observation["note"] = [{"text": f"{RESEARCH_USE}, not a diagnosis"}, *({"text": w} for w in analysed.warnings)]
        return observation

    def of_slice(self, s: AnalysedSlice, number: int) -> Resource:
        """The Observation of a pictured slice; the component with the SOP instance says which it is."""
        own = next((c for c in self.analysed.classes if c.key == s.finding.label), None)
        value = _concept(TERMS["unknown_scan"].code) if own is None else self._class(own)
        observation = self._observation(self._about("Observation", "slice", number), TERMS["class"].code, value)
        components = self._probabilities(s.finding.probabilities)
        members = [c for key in s.finding.prediction_set for c in self.analysed.classes if c.key == key]
        for member in members if len(members) > 1 else ():
            in_set = _concept(TERMS["prediction_set"].code)
            components.append({"code": in_set, "valueCodeableConcept": self._class(member)})
        region = s.finding.region
        if region is not None and region.area_mm2 is not None and self.analysed.presence == "present":
            area = _quantity(round(region.area_mm2, 2), TERMS["mm2"].code)
            components.append({"code": _concept(TERMS["evidence_area"].code), "valueQuantity": area})
        where = f"urn:oid:{s.header.uid}" + ("" if s.frame_number is None else f", frame {s.frame_number}")
        components.append({"code": {"text": "SOP Instance UID"}, "valueString": where})
        observation["component"] = components
        if s.doubts:
            observation["note"] = [{"text": doubt} for doubt in s.doubts]
        return observation

    def device(self) -> Resource:
        """The algorithm with these weights."""
        return {
            "resourceType": "Device",
            "id": str(uuid.uuid5(uuid.NAMESPACE_OID, self.maker.device)),
            "identifier": [_by_uid(self.maker.device)],
            "status": "active",
            "manufacturer": MANUFACTURER,
            "deviceName": [{"name": self.maker.algorithm, "type": "model-name"}],
            "version": [{"value": __version__}, {"value": f"weights sha256 {self.maker.weights}"}],
        }

    def _observation(self, about: Resource, code: Code, value: Resource) -> Resource:
        return {
            **about,
            "category": [{"coding": [{"system": f"{_TERMINOLOGY}/observation-category", "code": "imaging"}]}],
            "code": _concept(code),
            "valueCodeableConcept": value,
            "bodySite": _concept(self.maker.sought.site),
            "device": {"reference": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, self.maker.device)}"},
            "derivedFrom": [self._study()],
        }

    def _class(self, scan_class: ScanClass) -> Resource:
        return _concept(code_of(scan_class, candidates=self.maker.candidates))

    def _probabilities(self, values: Mapping[str, float]) -> list[Resource]:
        unit = TERMS["unitless"].code
        return [
            {"code": _concept(probability_of(c)), "valueQuantity": _quantity(round(values[c.key], 6), unit)}
            for c in self.analysed.classes
            if c.key in values  # an unknown scan has none
        ]


def _concept(code: Code) -> Resource:
    # A site's own scheme has no address that we could know.
    system = {"system": SYSTEMS[code.scheme]} if code.scheme in SYSTEMS else {}
    return {"coding": [{**system, "code": code.value, "display": code.meaning}], "text": code.meaning}


def _quantity(value: float, unit: Code) -> Resource:
    return {"value": value, "unit": unit.meaning, "system": SYSTEMS[unit.scheme], "code": unit.value}


def _by_uid(uid: str) -> Resource:
    return {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
