"""Delivering webhooks: what a worker needs to send them. Needs ``jobqueue[webhooks]``."""

from jobqueue.webhooks.deliverer import deliver_webhooks
from jobqueue.webhooks.failures import AddressRefused, DeliveryFailed
from jobqueue.webhooks.retries import SCHEDULE

__all__ = ["SCHEDULE", "AddressRefused", "DeliveryFailed", "deliver_webhooks"]
