"""Turn environment variables and an optional TOML file into one frozen Settings; refuse what is wrong by its name.

A setting `lease_s` is the variable OMS_LEASE_S, or OMS_LEASE_S_FILE naming a file that holds the value, or the key
`lease_s` in the TOML file named by OMS_CONFIG; the environment wins. Importing this module reads nothing.
"""

import difflib
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from oms_kernel.contracts.plugin import Secret
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import bounded

PREFIX = "OMS_"
FILE_SUFFIX = "_FILE"
PLAIN_NAMES = {
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "SECRET_KEY": "secret_key",
    "DEBUG": "debug",
    "RISK_MAX_POSITION_SIZE": "risk_max_position_size",
    "RISK_MAX_ORDER_SIZE": "risk_max_order_size",
}
"""Names without the prefix that hosting platforms and their documents use; the prefixed name wins."""
NOT_SETTINGS = frozenset({"OMS_CONFIG", "OMS_URL", "OMS_API_KEY", "OMS_STREAM_URL"})
"""Variables that the command line reads for itself."""
IGNORED_PREFIXES = ("OMS_TEST_", "OMS_BENCH_", "OMS_CAMPAIGN_")

LISTS = frozenset(
    {"disabled_plugins", "required_plugins", "master_keys", "trusted_proxies", "allowed_hosts", "cors_origins"}
)
"""Settings of several words, with commas or line breaks between them."""
_BETWEEN = re.compile(r"[,\n]")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?\Z", re.ASCII)
_HOST = re.compile(r"(\*|\.?[a-z0-9.-]+|\[?[0-9a-f:.]+\]?)\Z", re.ASCII)

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
KeptDays = Annotated[int, Meta(ge=1, le=36_500)]
Count = Annotated[int, Meta(ge=1, le=1024)]


class SettingsError(Exception):
    """A setting is unknown or wrong; the text names the variable and the fix."""

    code = "invalid_settings"


class Environment(StrEnum):
    """Which home the system runs in: one machine with SQLite, or PostgreSQL and Redis with N of each process."""

    EMBEDDED = "embedded"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    """The least severe log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class SmtpTls(StrEnum):
    """How the connection to the mail server is encrypted: from a plain start, from the first byte, or not at all."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class Registration(StrEnum):
    """Whether strangers may make an account, with a tenant of their own."""

    CLOSED = "closed"
    OPEN = "open"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a process is told from outside. Build it with `load_settings`."""

    home: Path = Path("var")
    database_url: str = ""
    migrate_database_url: str = ""
    redis_url: str | None = None
    secret_key: Secret = Secret("")
    master_keys: tuple[Secret, ...] = ()
    environment: Environment = Environment.EMBEDDED

    host: str = "127.0.0.1"
    port: Port = 8000
    stream_port: Port = 8001
    public_url: str = ""
    public_stream_url: str = ""
    api_workers: Count = 1
    api_threads: Count = 16
    body_limit_bytes: Annotated[int, Meta(ge=1024, le=67_108_864)] = 1_048_576
    rate_limit_per_s: Annotated[float, Meta(gt=0)] = 200.0
    rate_limit_burst: Annotated[int, Meta(ge=1)] = 400
    tenant_rate_limit_per_s: Annotated[float, Meta(gt=0)] | None = None
    address_rate_limit_per_s: Annotated[float, Meta(gt=0)] | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    access_token_s: Seconds = 900
    refresh_token_s: Annotated[float, Meta(gt=0, le=31_536_000)] = 2_592_000
    argon2_time_cost: Annotated[int, Meta(ge=1, le=16)] = 3
    argon2_memory_kib: Annotated[int, Meta(ge=1024, le=1_048_576)] = 65_536
    argon2_parallelism: Annotated[int, Meta(ge=1, le=16)] = 4

    registration: Registration = Registration.CLOSED
    smtp_host: str = ""
    smtp_port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    smtp_user: str = ""
    smtp_password: Secret = Secret("")
    smtp_tls: SmtpTls = SmtpTls.STARTTLS
    smtp_from: str = "Order management <oms@localhost>"
    smtp_timeout_s: Seconds = 15

    audit_dir: Path | None = None
    audit_key_file: Path | None = None
    keep_delivered_days: KeptDays = 7
    keep_dead_deliveries_days: KeptDays = 30
    keep_sign_ins_days: KeptDays = 7
    keep_mail_days: KeptDays = 7
    keep_audit_texts_days: Annotated[int, Meta(ge=0, le=36_500)] = 0

    send_window_s: Seconds = 10
    quote_max_age_s: Seconds = 5
    risk_max_position_size: Decimal | None = None
    risk_max_order_size: Decimal | None = None
    maximum_pause_s: Seconds = 10
    ack_timeout_factor: Annotated[float, Meta(gt=0, le=100)] = 1
    lease_s: Seconds = 20
    poll_ms: Annotated[int, Meta(ge=5, le=5000)] = 100
    monitor_ms: Annotated[int, Meta(ge=20, le=5000)] = 250
    heartbeat_timeout_s: Seconds = 10

    disabled_plugins: tuple[str, ...] = ()
    required_plugins: tuple[str, ...] = ()
    market_data: Path | None = None
    allow_private_webhooks: bool = True
    log_level: LogLevel = LogLevel.INFO
    debug: bool = False

    @property
    def is_embedded(self) -> bool:
        """Whether this is the one-machine home on SQLite."""
        return self.environment is Environment.EMBEDDED

    @property
    def url(self) -> str:
        """Where people and programs reach the API and the dashboard."""
        return self.public_url or f"{self._scheme}://{self.host}:{self.port}"

    @property
    def stream_url(self) -> str:
        """Where the event stream answers."""
        return self.public_stream_url or f"{self._scheme}://{self.host}:{self.stream_port}"

    @property
    def _scheme(self) -> str:
        return "https" if self.tls_certificate is not None else "http"

    @property
    def audit_folder(self) -> Path:
        """Where the checkpoints of the logs are written."""
        return self.audit_dir or self.home / "audit"

    @property
    def audit_key(self) -> Path:
        """The file of the key that signs them; made on first use."""
        return self.audit_key_file or self.home / "audit_key"

    def shown(self) -> dict[str, Any]:
        """The settings for people: secrets and the passwords inside URLs are masked."""
        values: dict[str, Any] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Secret):
                value = Secret.MASK if value.reveal() else ""
            elif isinstance(value, Path):
                value = str(value)
            elif isinstance(value, tuple):
                value = [Secret.MASK if isinstance(one, Secret) else one for one in value]
            elif name.endswith("_url") and value:
                value = mask_url(value)
            values[name] = value
        return values

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.shown().items())})"


def load_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """The settings, ready to serve: the home exists (mode 0700) and there is a secret key.

    Embedded, a random key is made on first use and kept in `home/secret_key` (mode 0600).
    Raises SettingsError, for production also when no OMS_SECRET_KEY is given.
    """
    settings = read_settings(env)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.secret_key.reveal():
        return settings
    if not settings.is_embedded:
        raise SettingsError("OMS_SECRET_KEY is missing: give a random text of at least 32 characters")
    return msgspec.structs.replace(settings, secret_key=Secret(_kept_secret(settings.home / "secret_key")))


def read_settings(env: Mapping[str, str] = os.environ) -> Settings:
    """The settings as they are told, without touching the home; `secret_key` may be empty. Raises SettingsError."""
    values = _from_file(env.get("OMS_CONFIG"))
    values.update(_from_environment(env))
    settings = _convert(values)
    home = settings.home.expanduser().absolute()
    database_url = settings.database_url or f"sqlite:///{home}/oms.db"
    production = urlsplit(database_url).scheme.startswith("postgres")
    defaults: dict[str, Any] = {}
    if "environment" not in values:
        defaults["environment"] = Environment.PRODUCTION if production else Environment.EMBEDDED
    if settings.debug and "log_level" not in values:
        defaults["log_level"] = LogLevel.DEBUG
    if "lease_s" not in values:
        defaults["lease_s"] = 6.0 if production else 20.0
    if "api_workers" not in values:
        defaults["api_workers"] = 2 if production else 1
    if "allow_private_webhooks" not in values:
        defaults["allow_private_webhooks"] = not production
    settings = msgspec.structs.replace(
        settings,
        home=home,
        database_url=database_url,
        migrate_database_url=settings.migrate_database_url or database_url,
        **defaults,
    )
    _check(settings)
    return settings


def tls_of(settings: Settings) -> tuple[Path, Path] | None:
    """(certificate, key) with which this system serves https itself, or None."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return settings.tls_certificate.expanduser(), settings.tls_key.expanduser()


def mask_url(url: str) -> str:
    """The URL with its password replaced by asterisks."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return Secret.MASK
    if parts.password is None:
        return url
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:{Secret.MASK}@{where}"))


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def _check(settings: Settings) -> None:
    scheme = urlsplit(settings.database_url).scheme.partition("+")[0]
    if scheme not in {"sqlite", "postgres", "postgresql"}:
        raise SettingsError(f"OMS_DATABASE_URL begins with {scheme!r}: give postgresql://... or sqlite:///path")
    key = settings.secret_key.reveal()
    if key and len(key) < 32:
        raise SettingsError(f"OMS_SECRET_KEY has {len(key)} characters: give a random text of at least 32")
    if settings.smtp_user and settings.smtp_tls is SmtpTls.NONE:
        raise SettingsError("OMS_SMTP_TLS is none: without encryption OMS_SMTP_USER and its password are not sent")
    for index, master in enumerate(settings.master_keys, 1):
        if len(master.reveal()) < 32:
            raise SettingsError(f"OMS_MASTER_KEYS: key {index} is too short: give a random text of at least 32")
    _check_edge(settings)
    for name in ("risk_max_position_size", "risk_max_order_size"):
        _check_size(name, getattr(settings, name))
    both = sorted(set(settings.disabled_plugins) & set(settings.required_plugins))
    if both:
        raise SettingsError(f"OMS_DISABLED_PLUGINS and OMS_REQUIRED_PLUGINS both name {both[0]}: name it in one only")


def _check_size(name: str, size: Decimal | None) -> None:
    if size is None:
        return
    try:
        fault = "" if bounded(size) > 0 else "must be more than 0"
    except InvalidNumber as error:
        fault = error.detail
    if fault:
        raise SettingsError(f"{variable(name)} is {size}: {fault}; unset it where no such limit is wanted")


def _check_edge(settings: Settings) -> None:
    for text in settings.trusted_proxies:
        try:
            ip_network(text)
        except ValueError as error:
            raise SettingsError(f"OMS_TRUSTED_PROXIES: {text!r} is no address or network: {error}") from None
    for origin in settings.cors_origins:
        if not _ORIGIN.match(origin):
            raise SettingsError(
                f"OMS_CORS_ORIGINS: {origin!r} is no origin: give https://name or https://name:port; * is not allowed,"
                " because pages of these origins may send credentials"
            )
    for host in settings.allowed_hosts:
        if not _HOST.match(host):
            raise SettingsError(f"OMS_ALLOWED_HOSTS: {host!r} is no host: give a name, .name for all below it, or *")
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError("OMS_TLS_CERTIFICATE and OMS_TLS_KEY belong together: give both or neither")
    for name, path in (("OMS_TLS_CERTIFICATE", settings.tls_certificate), ("OMS_TLS_KEY", settings.tls_key)):
        if path is not None and not path.expanduser().is_file():
            raise SettingsError(f"{name} names {path}, which is no file")


def _from_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise SettingsError(f"OMS_CONFIG names {path}, which cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"OMS_CONFIG names {path}, which is no TOML: {error}") from None
    for name in values:
        if name not in Settings.__struct_fields__:
            raise SettingsError(f"{path}: unknown setting {name!r}{_suggestion(name, Settings.__struct_fields__)}")
    return values


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    known = {variable(field): field for field in Settings.__struct_fields__}
    values: dict[str, Any] = {}
    for name, field in PLAIN_NAMES.items():
        if _given(env, name):
            values[field] = _value(env, name)
    for name in env:
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or name.startswith(IGNORED_PREFIXES):
            continue
        base = name if name in known else name.removesuffix(FILE_SUFFIX)
        if base not in known:
            raise SettingsError(f"unknown setting {name}{_suggestion(name, known)}")
        if _given(env, base):
            values[known[base]] = _value(env, base)
    return values


def _given(env: Mapping[str, str], name: str) -> bool:
    return bool(env.get(name)) or bool(env.get(name + FILE_SUFFIX))


def _value(env: Mapping[str, str], name: str) -> str:
    text, path = env.get(name), env.get(name + FILE_SUFFIX)
    if text and path:
        raise SettingsError(f"{name} and {name}{FILE_SUFFIX} are both set: unset one")
    if not path:
        return text or ""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{name}{FILE_SUFFIX} names {path}, which cannot be read: {error.strerror}") from None


def _convert(values: Mapping[str, Any]) -> Settings:
    plain: dict[str, Any] = {}
    for field, value in values.items():
        is_list = field in LISTS and isinstance(value, str)
        plain[field] = [part.strip() for part in _BETWEEN.split(value) if part.strip()] if is_list else value
        one = {field: plain[field]}
        try:
            msgspec.convert(one, Settings, strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at ")[0]
            raise SettingsError(f"{variable(field)} is wrong: {reason}") from None
    return msgspec.convert(plain, Settings, strict=False, dec_hook=_decode)


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")


def _suggestion(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]}?" if close else ": it is not in .env.example, unset it"


def _kept_secret(path: Path) -> str:
    """The secret in the file; made on first use. Two processes starting together end up with the same one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_secret(path)
    with os.fdopen(descriptor, "w") as file:
        text = secrets.token_urlsafe(48)
        file.write(text)
    return text


def _read_secret(path: Path) -> str:
    text = path.read_text().strip()
    if len(text) < 32:
        raise SettingsError(f"{path} holds no secret key: remove the file, sign-ins then end, or set OMS_SECRET_KEY")
    return text
