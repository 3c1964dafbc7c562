"""What an operator watches: Prometheus metrics of this process. The hot read counts in batches."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from perennial import intake

# Every label has a closed set of values: what is not among them is counted as OTHER, or an outsider could fill memory with names.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)


class Observed:
    def __init__(self) -> None:
        self.process = Gauge("perennial_process", "1 for the kind of process this is", ["kind"], registry=REGISTRY)
        self.reads = Counter("perennial_reads_total", "Entitlement reads answered", registry=REGISTRY)
        self.read_batches = Counter("perennial_read_batches_total", "Queries the entitlement reads were coalesced into", registry=REGISTRY)
        self.renders = Counter("perennial_renders_total", "Customer documents rendered anew", registry=REGISTRY)
        self.sightings_lost = Counter("perennial_sightings_lost_total", "Sightings not kept, as too many were waiting", registry=REGISTRY)
        self.requests = Counter("perennial_requests_total", "Other requests, by route and status", ["method", "route", "status"], registry=REGISTRY)
        self.seconds = Histogram("perennial_request_seconds", "Duration of other requests", ["route"], registry=REGISTRY)
        self.accepted = Counter("perennial_notifications_accepted_total", "Store notifications verified and kept", ["store"], registry=REGISTRY)
        self.refused = Counter("perennial_notifications_refused_total", "Store notifications refused", ["store", "status"], registry=REGISTRY)
        self.sdk_events = Counter("perennial_sdk_events_total", "Events SDKs sent, by what became of them", ["outcome"], registry=REGISTRY)
        self.sdk_diagnostics = Counter("perennial_sdk_diagnostics_total", "Diagnostics SDKs sent", ["name", "outcome"], registry=REGISTRY)
        self.handled = Counter("perennial_agenda_handled_total", "Agenda items handled by this process", ["lane"], registry=REGISTRY)
        self.round_seconds = Histogram("perennial_agenda_round_seconds", "Duration of a worker's round", ["lane"], registry=REGISTRY)
        self.troubles = Gauge("perennial_waiting_for_a_person", "What was given up or cannot be read (perennial doctor)", ["kind"], registry=REGISTRY)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self.requests.labels(method if method in METHODS else OTHER, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)


class Unread(Collector):
    """What `intake` counts of what stores say: labels are its own names of stores, and what was being read."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        fields = CounterMetricFamily("perennial_store_fields_unread", "Fields of a store's word that could not be read", labels=["store", "source"])
        for (store, source), count in sorted(intake.UNREAD_FIELDS.items()):
            fields.add_metric([store, source], count)
        yield fields
        whole = CounterMetricFamily("perennial_notifications_unreadable", "Store notifications that could not be read at all", labels=["store"])
        for store, count in sorted(intake.UNREADABLE.items()):
            whole.add_metric([store], count)
        yield whole


OBSERVED = Observed()
REGISTRY.register(Unread())


def exposition() -> bytes:
    return generate_latest(REGISTRY)
