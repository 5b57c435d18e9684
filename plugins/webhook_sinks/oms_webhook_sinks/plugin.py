"""What this distribution registers with the host."""

from oms_kernel.hookspecs import RegisterWebhookSink, hookimpl
from oms_webhook_sinks.signed_post import SignedPost


@hookimpl
def register_webhook_sinks(register: RegisterWebhookSink) -> None:
    """The one sink."""
    register(SignedPost)
