"""Which software this is: every installed distribution in, one short name of the build out."""

import hashlib
from importlib.metadata import distributions, version


def build_name() -> str:
    """The application's version and a hash over the names and versions of all that is installed beside it.

    Sessions of two builds never serve at the same time: they might not mean the same by what they write.
    """
    installed = sorted({f"{one.metadata['Name']}=={one.version}".lower() for one in distributions()})
    digest = hashlib.sha256("\n".join(installed).encode()).hexdigest()
    return f"{version('oms-app')}+{digest[:12]}"
