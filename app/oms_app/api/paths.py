"""Name the two places where the API lives: its own, and the prefix that other systems' clients expect."""

V1 = "/api/v1"
OMS = "/api/v1/oms"
"""Aliases under /oms answer with the same functions; they are marked deprecated in the OpenAPI document."""


def v1(path: str) -> str:
    """The path under /api/v1."""
    return V1 + path


def also_oms(method: str, path: str) -> tuple[str, str]:
    """The same operation under /api/v1/oms."""
    return method, OMS + path
