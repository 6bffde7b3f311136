"""What can be counted and timed, for /metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MILLISECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry for each service, made by main."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("events", "Events read, by kind.", ["kind"], registry=self.registry)
        self.dead_letters = Counter("dead_letters", "Events refused, by reason.", ["reason"], registry=self.registry)
        self.entries = Counter(
            "entries", "Entry events handled, by where the context came from.", ["source"], registry=self.registry
        )
        self.decisions = Counter(
            "decisions",
            "Decisions answered, by reason and whether made before.",
            ["reason", "repeated"],
            registry=self.registry,
        )
        self.publish_failures = Counter(
            "publish_failures", "Messages that the broker refused.", ["topic"], registry=self.registry
        )
        self.retries = Counter("batch_retries", "Batches tried again, by cause.", ["cause"], registry=self.registry)
        self.swept = Counter("results_swept", "Results published by the sweeper.", registry=self.registry)
        self.batch_size = Histogram(
            "focus_batch_size",
            "Focus events in a batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.focus_seconds = Histogram(
            "focus_event_seconds",
            "From receipt of a focus event to the acknowledged result.",
            buckets=MILLISECONDS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "batch_stage_seconds",
            "Time in each stage of a batch.",
            ["stage"],
            buckets=MILLISECONDS,
            registry=self.registry,
        )
        self.ready = Gauge("ready", "Whether a part is ready.", ["part"], registry=self.registry)
