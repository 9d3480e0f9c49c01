"""Scans to train and measure with: manifests, splits, loading, augmentation, public sets."""
