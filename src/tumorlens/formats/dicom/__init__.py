"""DICOM: reading, decoding, geometry, de-identification."""
