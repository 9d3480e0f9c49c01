"""Synthetic brain MRI with simulated lesions: slices, studies, data sets."""
