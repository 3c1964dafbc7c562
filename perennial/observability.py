"""Structured logs to standard output, one JSON object a line (or colours on a terminal), and traces where they are configured."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import structlog

from perennial import __version__
from perennial.settings import Settings


def configure(settings: Settings) -> None:
    is_terminal = sys.stdout.isatty()
    renderer: Any = structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if not is_terminal else _as_it_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(),  # a line and its end in one write: several processes share our output
        cache_logger_on_first_use=True,
    )
    if settings.otlp_endpoint:
        _configure_traces(settings)


def _as_it_is(logger: Any, name: str, event: Any) -> Any:
    return event


def _configure_traces(settings: Settings) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "perennial", "service.version": __version__}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def flush_traces() -> None:
    """Sends what is still waiting, before the process ends."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def trace_asgi(front: Callable[..., Any], settings: Settings) -> Callable[..., Any]:
    """One span per request, continuing the caller's trace; the application itself where tracing is not configured."""
    if not settings.otlp_endpoint:
        return front
    from opentelemetry import propagate, trace

    tracer = trace.get_tracer("perennial.api", __version__)

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await front(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
        with tracer.start_as_current_span(
            f"{scope['method']} {_shape(scope['path'])}", context=propagate.extract(carrier), kind=trace.SpanKind.SERVER
        ) as span:

            async def noted(message: Any) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await front(scope, receive, noted)

    return traced


def _shape(path: str) -> str:
    """The first two segments: ids of people stay out of span names."""
    return "/".join(path.split("/")[:3])
