"""What goes back to the hospital: DICOM and FHIR objects of an analysed study."""
