"""Compliance checks that stand before every order, and monitors that look for abuse afterwards."""
