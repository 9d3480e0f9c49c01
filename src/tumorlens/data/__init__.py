"""Scans to train and measure with: manifests, splits, loading, augmentation, phantoms, public sets, audits."""
