"""The hospital's side: DICOM studies in, DICOM and FHIR results out."""
