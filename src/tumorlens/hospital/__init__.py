"""The hospital: studies come in over DICOM or DICOMweb, results go back the same way, and nothing is lost between."""
