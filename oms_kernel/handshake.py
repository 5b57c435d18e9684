"""A distribution's own metadata in, whether it was made for this kernel out, before anything of it is imported."""

from collections.abc import Callable, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from oms_kernel.soundness import describe

KERNEL = "oms-kernel"


class Refusal(Exception):
    """Why the host refuses a plugin."""


def check_handshake(requires: Callable[[], Sequence[str]], kernel: Version) -> None:
    """Nothing, when the requirements that apply here ask for the kernel and this kernel will do. Raises Refusal."""
    try:
        requirements = [Requirement(line) for line in requires()]
    except InvalidRequirement as error:
        raise Refusal(f"its metadata has an unreadable requirement: {describe(error)}") from None
    asked = [
        requirement
        for requirement in requirements
        if canonicalize_name(requirement.name) == KERNEL
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]
    if not asked:
        raise Refusal(f"its metadata does not require {KERNEL}; add a dependency such as '{KERNEL}>=0.1,<0.2'")
    for requirement in asked:
        if not requirement.specifier.contains(kernel, prereleases=True):
            raise Refusal(f"it needs {KERNEL}{requirement.specifier}, this is {kernel}")
