"""Describe: spectra, targets and pipelines, and the ways to write them down. Nothing here derives or evaluates."""

from collapse_theory.describe import workflows as workflows
