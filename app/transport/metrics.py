"""What can be counted and timed, for /metrics."""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from app.domain.drift import Degree
from app.domain.drift_report import Drift

NAMESPACE = "recommendation"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """One registry for each service, made by main. All names begin with `recommendation_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, namespace=NAMESPACE, registry=self.registry)
        histogram = partial(Histogram, namespace=NAMESPACE, registry=self.registry)
        self.events = counter("events", "Events read, by kind.", ["kind"])
        self.dead_letters = counter("dead_letters", "Events refused, by reason.", ["reason"])
        self.entries = counter("entries", "Entry events handled, by where the context came from.", ["source"])
        self.decisions = counter(
            "decisions", "Decisions answered, by reason and whether made before.", ["reason", "repeated"]
        )
        self.left_out = counter(
            "messages_left_out", "Messages that are no events: canaries, retained ones, too many of QoS 0.", ["why"]
        )
        self.publish_failures = counter("publish_failures", "Messages that the broker refused.", ["topic"])
        self.retries = counter("batch_retries", "Batches tried again, by cause.", ["cause"])
        self.swept = counter("outcomes_swept", "Results and dead letters published by the sweeper.")
        self.batch_size = histogram("focus_batch_size", "Focus events in a batch.", buckets=EVENTS)
        self.focus_seconds = histogram(
            "focus_event_seconds", "From receipt of a focus event to the acknowledged result.", buckets=SECONDS
        )
        self.stage_seconds = histogram(
            "batch_stage_seconds",
            "Time in each stage of a batch: context (with what is tried again), score, decide, record.",
            ["stage"],
            buckets=SECONDS,
        )
        gauge = partial(Gauge, namespace=NAMESPACE, registry=self.registry)
        self.waiting = gauge("events_waiting", "Events that have arrived and are in no batch yet, by kind.", ["kind"])
        self.unacknowledged = gauge(
            "events_unacknowledged", "Events that have arrived and are not acknowledged yet, by kind.", ["kind"]
        )
        self.http_refused = counter("http_refused", "HTTP requests not let in, by reason.", ["reason"])
        self.open_routes = gauge(
            "open_routes", "Whether a route answers anyone, because no API key was ever made.", ["route"]
        )
        self.ready = gauge("ready", "Whether a part is ready.", ["part"])
        self.drift_psi = gauge(
            "drift_psi",
            "PSI of a feature or the score on the day looked at last, against the card or the first day in service.",
            ["feature", "against"],
        )
        self.drift_features = gauge("drift_features", "Features and score by degree on that day.", ["degree"])
        self.drift_decisions = gauge("drift_decisions", "Decisions of that day that were looked at.")
        self.drift_info = Info(
            "drift", "The day (UTC) looked at last, and the model.", namespace=NAMESPACE, registry=self.registry
        )

    def show_drift(self, drift: Drift) -> None:
        """Show what was found in place of what was found before."""
        self.drift_psi.clear()
        for one in drift.features:
            self.drift_psi.labels(one.name, "card").set(one.index)
            if one.since_start is not None:
                self.drift_psi.labels(one.name, "first_day").set(one.since_start)
        for degree in Degree:
            self.drift_features.labels(degree.value).set(len(drift.of(degree)))
        self.drift_decisions.set(drift.report.decisions)
        self.drift_info.info({"day": drift.report.day.isoformat(), "model_version": drift.report.model_version})

    @property
    def events_read(self) -> int:
        """How many events of all kinds have been read."""
        samples = [sample for metric in self.events.collect() for sample in metric.samples]
        return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))
