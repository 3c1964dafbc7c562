"""What the environment says. Every variable the product reads is here, with what it means."""

import os
from collections.abc import Mapping
from pathlib import Path

from perennial.base.errors import Invalid
from perennial.base.secrets import Secret
from perennial.base.value import field, force_setattr, value

# Requests a minute of one key, as the vendor documents them.
RATE_LIMITS: dict[str, int] = {"customer_information": 480, "project_configuration": 60, "charts_metrics": 5, "virtual_currencies": 480}

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

    def __post_init__(self) -> None:
        if self.database_url is not None:
            force_setattr(self, "database_url", Secret(self.database_url))

    @classmethod
    def read(cls) -> "Settings":
        env = os.environ
        return cls(
            home=Path(env.get("PERENNIAL_HOME") or ".perennial").absolute(),
            database_url=Secret(env["DATABASE_URL"]) if env.get("DATABASE_URL") else None,
            port=_whole(env.get("PORT") or "8080", "PORT", 1, 65535),
            host=env.get("HOST") or "127.0.0.1",
            workers=_whole(env.get("WEB_CONCURRENCY") or "1", "WEB_CONCURRENCY", 1, 64),
            allow_internal_webhooks=env.get("PERENNIAL_ALLOW_INTERNAL_WEBHOOKS") == "1",
            is_demo=env.get("PERENNIAL_DEMO") == "1",
            otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
            public_url=_public_url(env.get("PERENNIAL_PUBLIC_URL") or ""),
            files_folder=Path(env["PERENNIAL_FILES"]).absolute() if env.get("PERENNIAL_FILES") else None,
            rate_limits=_rate_limits(env.get("PERENNIAL_RATE_LIMITS") or ""),
            log_level=read_log_level(),
        )

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
        limits[domain] = None if number == "off" else _whole(number, f"PERENNIAL_RATE_LIMITS {domain}", 1, 1_000_000)
    return {domain: limit for domain, limit in limits.items() if limit is not None}


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not text.isdigit() or not least <= int(text) <= most:
        raise Invalid(f"{name} must be a whole number from {least} to {most}, not {text!r}", param=name)
    return int(text)
