"""What waits between us and others, as Prometheus' families. All processes tell the same."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from billing.backlog import Backlog


def families(backlog: Backlog) -> Iterator[Metric]:
    """One for each number."""
    attempts = CounterMetricFamily(
        "paywalls_webhook_attempts", "Attempts to deliver an event.", labels=["outcome"]
    )
    for outcome, total in backlog.deliveries.items():
        attempts.add_metric([outcome], total)
    yield attempts
    yield _gauge("webhooks_pending", "Deliveries that wait.", backlog.pending)
    yield _gauge("webhooks_pending_seconds", "Age of the oldest of them.", backlog.pending_age_s)
    yield _gauge("webhooks_overdue_seconds", "How late the next one is.", backlog.overdue_s)
    yield _by("webhook_subscriptions", "Subscriptions.", backlog.subscriptions)
    yield _gauge("stripe_events_waiting", "Events not handled yet.", backlog.stripe_waiting)
    yield _gauge("stripe_events_waiting_seconds", "Age of the oldest.", backlog.stripe_age_s)
    yield _gauge("stripe_events_quarantined", "Events to look at.", backlog.stripe_quarantined)
    yield _gauge("stripe_accounts_stopped", "Keys through which nobody can pay.", backlog.stopped)
    yield _by("orders_unfinished", "Orders that are neither paid nor over.", backlog.orders)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"paywalls_{name}", text, value)


def _by(name: str, text: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"paywalls_{name}", text, labels=["state"])
    for state, value in values.items():
        family.add_metric([state], value)
    return family
