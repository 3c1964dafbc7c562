"""What the environment says. Every variable the product reads is here, with what it means."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from perennial.base.errors import Invalid
from perennial.base.secrets import Secret
from perennial.base.value import field, force_setattr, value

# Requests a minute of one key, as the vendor documents them.
RATE_LIMITS: dict[str, int] = {
    "customer_information": 480,
    "project_configuration": 60,
    "charts_metrics": 5,
    "virtual_currencies": 480,
    # Ours, of v1: a public key is in every copy of an app, so its limit is beyond what a process can do until it is set.
    "v1_key": 3_000_000,
    "v1_address": 12_000,
}

LOG_LEVELS = ("debug", "info", "warning", "error")


@value
class Settings:
    home: Path  # PERENNIAL_HOME: data of the embedded database, the installation's secret key, demo.json
    database_url: Secret | None  # DATABASE_URL: any PostgreSQL >= 15; unset: the embedded one
    port: int  # PORT
    host: str  # HOST: the address to listen on
    workers: int  # WEB_CONCURRENCY: server processes
    allow_internal_webhooks: bool  # PERENNIAL_ALLOW_INTERNAL_WEBHOOKS=1: receivers may be internal addresses
    is_demo: bool  # PERENNIAL_DEMO=1: the pages show the demo project without signing in, to this machine alone; `perennial up` sets it
    otlp_endpoint: str | None  # OTEL_EXPORTER_OTLP_ENDPOINT: where traces go; unset: nowhere
    public_url: str | None = None  # PERENNIAL_PUBLIC_URL: what the outside calls this installation; unset: whatever a request calls it
    files_folder: Path | None = None  # PERENNIAL_FILES: integrations may write files under this folder; unset: only into buckets
    rate_limits: Mapping[str, int] = field(default_factory=dict)  # PERENNIAL_RATE_LIMITS: requests a minute by key and domain, of each process
    log_level: str = "info"  # PERENNIAL_LOG_LEVEL: debug, info, warning or error; debug shows people tracebacks too
    migrate_database_url: Secret | None = None  # PERENNIAL_MIGRATE_DATABASE_URL: as who owns the tables; unset: DATABASE_URL
    allow_newer_schema: bool = False  # PERENNIAL_ALLOW_NEWER_SCHEMA=1: start also where the database was migrated by a newer version
    metrics_port: int | None = None  # PERENNIAL_METRICS_PORT: each process serves its metrics on the first free port from here; unset: nowhere
    metrics_host: str = "127.0.0.1"  # PERENNIAL_METRICS_HOST: the address they are served on

    def __post_init__(self) -> None:
        if self.database_url is not None:
            force_setattr(self, "database_url", Secret(self.database_url))

    @classmethod
    def read(cls) -> "Settings":
        env = _Environment(os.environ)
        settings = cls(
            home=Path(env.get("PERENNIAL_HOME") or ".perennial").absolute(),
            database_url=Secret(url) if (url := env.get("DATABASE_URL")) else None,
            port=_whole(env.get("PORT") or "8080", "PORT", 1, 65535),
            host=env.get("HOST") or "127.0.0.1",
            workers=_whole(env.get("WEB_CONCURRENCY") or "1", "WEB_CONCURRENCY", 1, 64),
            allow_internal_webhooks=_switch(env, "PERENNIAL_ALLOW_INTERNAL_WEBHOOKS"),
            is_demo=_switch(env, "PERENNIAL_DEMO"),
            otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
            public_url=_public_url(env.get("PERENNIAL_PUBLIC_URL") or ""),
            files_folder=Path(folder).absolute() if (folder := env.get("PERENNIAL_FILES")) else None,
            rate_limits=_rate_limits(env.get("PERENNIAL_RATE_LIMITS") or ""),
            metrics_port=_whole(first, "PERENNIAL_METRICS_PORT", 1, 65535) if (first := env.get("PERENNIAL_METRICS_PORT")) else None,
            metrics_host=env.get("PERENNIAL_METRICS_HOST") or "127.0.0.1",
            log_level=read_log_level(),
            migrate_database_url=Secret(url) if (url := env.get("PERENNIAL_MIGRATE_DATABASE_URL")) else None,
            allow_newer_schema=_switch(env, "PERENNIAL_ALLOW_NEWER_SCHEMA"),
        )
        env.refuse_unknown()
        return settings

    def url_to_migrate(self) -> str:
        """In plain, as the other."""
        return self.migrate_database_url.reveal() if self.migrate_database_url is not None else self.require_database_url()

    def require_database_url(self) -> str:
        """In plain, password and all, for who connects or hands it on."""
        if self.database_url is None:
            raise Invalid("DATABASE_URL is not set; start everything with `perennial up`, or name your PostgreSQL", param="DATABASE_URL")
        return self.database_url.reveal()


def read_log_level() -> str:
    level = os.environ.get("PERENNIAL_LOG_LEVEL") or "info"
    if level not in LOG_LEVELS:
        raise Invalid(f"PERENNIAL_LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}, not {level[:40]!r}", param="PERENNIAL_LOG_LEVEL")
    return level


class _Environment:
    """Remembers what was asked for, which is all that there is: what else begins with PERENNIAL_ is misspelt."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._asked = set(_READ_ELSEWHERE)

    def get(self, name: str, default: str | None = None) -> str | None:
        self._asked.add(name)
        return self._variables.get(name, default)

    def refuse_unknown(self) -> None:
        for name in sorted(self._variables):
            if name.startswith("PERENNIAL_") and name not in self._asked and not _is_of_kubernetes(name):
                near = get_close_matches(name, self._asked, n=1, cutoff=0.8)
                hint = f"did you mean {near[0]}?" if near else "docs/operating.md lists those there are"
                raise Invalid(f"{name} is no setting of this version; {hint}", param=name)


_READ_ELSEWHERE = (
    "PERENNIAL_SECRET_KEY",
    "PERENNIAL_PROJECT",
    "PERENNIAL_IMPORT_KEY",
    "PERENNIAL_STARTED_BY",
    "PERENNIAL_LOG_LEVEL",
    "PERENNIAL_PUBLIC_OPENAPI",
    "PERENNIAL_FUZZ_ROUNDS",
    "PERENNIAL_FUZZ_SEED",
)


def _is_of_kubernetes(name: str) -> bool:
    """What a container is told of a service called `perennial`, or `perennial-something`: PERENNIAL_SERVICE_HOST, PERENNIAL_PORT_8080_TCP."""
    return (
        name.endswith(("_SERVICE_HOST", "_SERVICE_PORT", "_PORT"))
        or "_SERVICE_PORT_" in name
        or any(part[:1].isdigit() and part.split("_")[1:2] in (["TCP"], ["UDP"]) for part in name.split("_PORT_")[1:])
    )


def _switch(env: _Environment, name: str) -> bool:
    text = env.get(name) or "0"
    if text not in ("0", "1"):
        raise Invalid(f"{name} must be 1 (on) or 0 (off), not {text[:40]!r}", param=name)
    return text == "1"


def check_home(home: Path) -> None:
    """Makes it where it is missing. `Invalid` where nothing can be kept there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Invalid(
            f"nothing can be written in {home}: {error.strerror}; set PERENNIAL_HOME to a folder of yours", param="PERENNIAL_HOME"
        ) from error


def _public_url(text: str) -> str | None:
    if text and not text.startswith(("https://", "http://")):
        raise Invalid(f"PERENNIAL_PUBLIC_URL must begin with https:// (or http://), not {text[:40]!r}", param="PERENNIAL_PUBLIC_URL")
    return text.rstrip("/") or None


def _rate_limits(text: str) -> dict[str, int]:
    """`off`, or numbers of your own: `project_configuration=600,charts_metrics=off`. What is not named stays as the vendor has it."""
    if text == "off":
        return {}
    limits: dict[str, int | None] = dict(RATE_LIMITS)
    for part in filter(None, text.replace(" ", "").split(",")):
        domain, _, number = part.partition("=")
        if domain not in RATE_LIMITS:
            raise Invalid(f"PERENNIAL_RATE_LIMITS: {domain!r} is not one of {', '.join(RATE_LIMITS)}, or off", param="PERENNIAL_RATE_LIMITS")
        limits[domain] = None if number == "off" else _whole(number, f"PERENNIAL_RATE_LIMITS {domain}", 1, 10_000_000)
    return {domain: limit for domain, limit in limits.items() if limit is not None}


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not least <= int(text) <= most:
        raise Invalid(f"{name} must be a whole number from {least} to {most}, not {text!r}", param=name)
    return int(text)
