"""Conformance suites, fault scripts and builders for the authors of plugins."""
