"""What the environment says. Every variable the product reads is here, with what it means."""

import os
from pathlib import Path

from perennial.base.errors import Invalid
from perennial.base.value import value


@value
class Settings:
    home: Path  # PERENNIAL_HOME: data of the embedded database, the installation's secret key, demo.json
    database_url: str | None  # DATABASE_URL: any PostgreSQL >= 15; unset: the embedded one
    port: int  # PORT
    host: str  # HOST: the address to listen on
    workers: int  # WEB_CONCURRENCY: server processes
    allow_internal_webhooks: bool  # PERENNIAL_ALLOW_INTERNAL_WEBHOOKS=1: receivers may be internal addresses
    is_demo: bool  # PERENNIAL_DEMO=1: the pages show the demo project without signing in, to this machine alone; `perennial up` sets it
    otlp_endpoint: str | None  # OTEL_EXPORTER_OTLP_ENDPOINT: where traces go; unset: nowhere

    @classmethod
    def read(cls) -> "Settings":
        env = os.environ
        return cls(
            home=Path(env.get("PERENNIAL_HOME") or ".perennial").absolute(),
            database_url=env.get("DATABASE_URL") or None,
            port=_whole(env.get("PORT") or "8080", "PORT", 1, 65535),
            host=env.get("HOST") or "127.0.0.1",
            workers=_whole(env.get("WEB_CONCURRENCY") or "1", "WEB_CONCURRENCY", 1, 64),
            allow_internal_webhooks=env.get("PERENNIAL_ALLOW_INTERNAL_WEBHOOKS") == "1",
            is_demo=env.get("PERENNIAL_DEMO") == "1",
            otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None,
        )

    def require_database_url(self) -> str:
        if self.database_url is None:
            raise Invalid("DATABASE_URL is not set; start everything with `perennial up`, or name your PostgreSQL", param="DATABASE_URL")
        return self.database_url


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not text.isdigit() or not least <= int(text) <= most:
        raise Invalid(f"{name} must be a whole number from {least} to {most}, not {text!r}", param=name)
    return int(text)
