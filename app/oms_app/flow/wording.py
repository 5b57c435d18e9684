"""What people write about themselves and their tenant in, the form that is stored out; each error names its field."""

import re
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from oms_kernel.domain.errors import InvalidRequest

LONGEST_EMAIL = 254
LONGEST_NAME = 100
LONGEST_TENANT_NAME = 200
RESERVED_SLUGS = frozenset(
    "admin api app assets auth current dashboard demo-tenant docs health help invitation login logout mail me metrics"
    " new oms platform public register registration root settings static status stream support system tenants"
    " www".split()
)
"""Words that are, or may become, addresses of our own."""
_EMAIL = re.compile(r"[^@\s\"(),:;<>\[\]\\]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,187}[a-z0-9])?\Z")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]\Z")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+[a-z][a-z0-9-]{{0,61}}[a-z0-9]\Z")
_CURRENCY = re.compile(r"[A-Z]{3,12}\Z")
_PHONE = re.compile(r"\+?[0-9](?:[0-9 ()./-]{3,30})\Z")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}\Z")
_EARLIEST_BIRTH = date(1900, 1, 1)


def email_address(text: str, field: str = "email") -> str:
    """The address in lower case. Raises InvalidRequest."""
    cleaned = text.strip().lower()
    plain = cleaned.isascii() and cleaned.isprintable() and ".." not in cleaned
    if len(cleaned) > LONGEST_EMAIL or not plain or not _EMAIL.match(cleaned):
        raise InvalidRequest("an e-mail address such as name@example.com is needed", field=field)
    return cleaned


def person_name(text: str, field: str) -> str:
    """A first or last name, possibly empty. Raises InvalidRequest."""
    cleaned = text.strip()
    if len(cleaned) > LONGEST_NAME or not (cleaned.isprintable() or not cleaned):
        raise InvalidRequest(f"a name has at most {LONGEST_NAME} characters, all printable", field=field)
    return cleaned


def tenant_name(text: str) -> str:
    """A tenant's name. Raises InvalidRequest."""
    cleaned = text.strip()
    if not 1 <= len(cleaned) <= LONGEST_TENANT_NAME or not cleaned.isprintable():
        raise InvalidRequest(f"a name has 1 to {LONGEST_TENANT_NAME} characters, all printable", field="name")
    return cleaned


def slug(text: str) -> str:
    """A tenant's short name for addresses. Raises InvalidRequest."""
    if not _SLUG.match(text) or "--" in text:
        raise InvalidRequest(
            "a slug has 3 to 63 characters: a to z, 0 to 9, single hyphens, none at either end", field="slug"
        )
    if text in RESERVED_SLUGS or text.startswith("tenant-"):
        raise InvalidRequest(f"the slug {text} is reserved; choose another", field="slug")
    return text


def slug_from(name: str) -> str:
    """A slug that resembles the name; may be reserved or too short."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().encode("ascii", "ignore").decode()).strip("-")[:50].strip("-")


def domain(text: str) -> str:
    """A host name in lower case, without port. Raises InvalidRequest."""
    cleaned = text.strip().lower().rstrip(".")
    if len(cleaned) > 253 or not _DOMAIN.match(cleaned):
        raise InvalidRequest("a domain such as orders.example.com is needed, without scheme and port", field="domain")
    return cleaned


def time_zone(text: str) -> str:
    """The name of a time zone. Raises InvalidRequest."""
    try:
        if text and len(text) <= 60 and ZoneInfo(text).key == text:
            return text
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InvalidRequest("a time zone such as Europe/Berlin or UTC is needed", field="time_zone")


def currency(text: str, field: str = "base_currency") -> str:
    """A currency's code. Raises InvalidRequest."""
    if not _CURRENCY.match(text):
        raise InvalidRequest("a currency code such as USD is needed, 3 to 12 capital letters", field=field)
    return text


def phone_number(text: str) -> str:
    """A phone number, possibly empty. Raises InvalidRequest."""
    cleaned = text.strip()
    if cleaned and not _PHONE.match(cleaned):
        raise InvalidRequest("a phone number such as +49 30 123456 is needed", field="phone_number")
    return cleaned


def locale(text: str) -> str:
    """A language tag, possibly empty. Raises InvalidRequest."""
    if text and (len(text) > 35 or not _LOCALE.match(text)):
        raise InvalidRequest("a language tag such as en or de-CH is needed", field="locale")
    return text


def date_of_birth(born: date, today: date) -> date:
    """The date. Raises InvalidRequest when nobody alive can have it."""
    if not _EARLIEST_BIRTH <= born < today:
        raise InvalidRequest("a date of birth lies after 1899 and before today", field="date_of_birth")
    return born
