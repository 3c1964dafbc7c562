"""Structured logs to standard output, one JSON object a line (or colours on a terminal), and traces where they are configured.

Secrets stay out of all of them: no renderer shows the variables of a traceback, and what others wrote (a store's answer, a library's
exception) is searched for the secrets in use. A person gets one line of an error; its traceback is in the JSON lines, or shown at the level debug.
"""

import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any

import structlog

from perennial import __version__
from perennial.base.secrets import conceal
from perennial.settings import Settings, read_log_level

_LONGEST_REASON = 300
_TROUBLE = frozenset({"warning", "error", "critical"})  # levels whose texts may be somebody else's

Line = MutableMapping[str, Any]


def configure(settings: Settings) -> None:
    """For the server and the worker."""
    is_terminal = sys.stdout.isatty()
    structlog.configure(
        processors=_processors(for_people=is_terminal, level=settings.log_level, colors=is_terminal),
        wrapper_class=structlog.make_filtering_bound_logger(_level(settings.log_level)),
        logger_factory=structlog.WriteLoggerFactory(),  # a line and its end in one write: several processes share our output
        cache_logger_on_first_use=True,
    )
    _guard_the_rest()
    if settings.otlp_endpoint:
        _configure_traces(settings)


def configure_for_people() -> None:
    """For the command line, and for whoever opens the house without a word about logs: troubles alone, to standard error, a line each."""
    level = read_log_level()
    structlog.configure(
        processors=_processors(for_people=True, level=level, colors=sys.stderr.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if level == "debug" else logging.WARNING),
        logger_factory=_Standard,
        cache_logger_on_first_use=False,  # a process may still become the server or the worker
    )
    _guard_the_rest()


def _processors(*, for_people: bool, level: str, colors: bool) -> list[Any]:
    show: Any = structlog.processors.format_exc_info if not for_people or level == "debug" else _shorten
    render: Any = structlog.processors.JSONRenderer()
    if for_people:
        render = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        show,
        _conceal,
        render,
    ]


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


class _Standard:
    """Standard error, as it is when a line is written: tests change what it is."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, message: str) -> None:
        sys.stderr.write(message + "\n")

    log = debug = info = warn = warning = error = critical = fatal = exception = msg


def _shorten(logger: Any, name: str, line: Line) -> Line:
    """The exception as a reason of one line."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException) and "error" not in line:
        line["error"] = reason(error)
    return line


def reason(error: BaseException) -> str:
    """An exception in one line, cut short and without secrets, for a person."""
    said = " ".join(str(error).split())
    return conceal(f"{type(error).__name__}: {said}" if said else type(error).__name__)[:_LONGEST_REASON]


def _conceal(logger: Any, name: str, line: Line) -> Line:
    if line.get("level") in _TROUBLE or "exception" in line:
        for key, said in line.items():
            if isinstance(said, str):
                line[key] = conceal(said)
    return line


def _guard_the_rest() -> None:
    """What does not come through our loggers: libraries' warnings, and exceptions nobody caught."""
    handler = logging.StreamHandler()
    handler.setFormatter(_ConcealingFormatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one.formatter, _ConcealingFormatter)]
    root.addHandler(handler)
    sys.excepthook = _say_uncaught


class _ConcealingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return conceal(super().format(record))


def _say_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(conceal("".join(traceback.format_exception(kind, error, trace))))


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
