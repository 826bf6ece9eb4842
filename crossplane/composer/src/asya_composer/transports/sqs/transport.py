"""SQS: objects of the namespaced AWS providers (sqs.aws.m.upbound.io and iam.aws.m.upbound.io, v1beta1)."""

from __future__ import annotations

from urllib.parse import urlsplit

from asya_composer import names
from asya_composer.model import Context, Manifest, PodAccess, QueueStatus, Resource, Trigger, Waiting
from asya_composer.settings import SqsSettings, TransportName
from asya_composer.transports import crew
from asya_composer.transports.sqs.identity import ROLE_ANNOTATION, identity, role_arn
from asya_composer.transports.sqs.queues import QUEUE, arn, queues, settings_of

_POD_IDENTITY_AGENT = "169.254.170.23/32"


class Sqs:
    """SQS, as `asya_composer.model.Transport` asks."""

    name: TransportName = "sqs"

    def resources(self, context: Context) -> list[Resource]:
        """Return queue, dead-letter queue, redrive policies, role and what it may do."""
        return [*queues(context), *identity(context)]

    def pod(self, context: Context) -> PodAccess:
        """Return region and account, the role of the service account, and the way to the API."""
        settings = settings_of(context)
        irsa = settings.identity == "irsa"
        return PodAccess(
            # With Pod Identity an association outside the cluster ties the account to the role.
            annotations={ROLE_ANNOTATION: role_arn(context)} if irsa else {},
            env=[{"name": name, "value": value} for name, value in _variables(context).items()],
            egress=_egress(settings),
        )

    def trigger(self, context: Context) -> Trigger | Waiting:
        """Return KEDA's aws-sqs-queue scaler; it needs the queue's address."""
        scaling, settings = context.actor.spec.scaling, settings_of(context)
        url = self.queue(context).url
        if url is None:
            return Waiting("QueueNotReady", f"the address of queue {names.sqs_queue(context)} is not known yet")
        metadata = {
            "queueURL": url,
            "awsRegion": settings.region,
            "queueLength": str(scaling.queue_length),
            "activationQueueLength": str(scaling.activation_queue_length),
            "scaleOnInFlight": str(scaling.scale_on_in_flight).lower(),
            "scaleOnDelayed": str(scaling.scale_on_delayed).lower(),
        }
        if settings.endpoint is not None:
            metadata["awsEndpoint"] = settings.endpoint
        # KEDA reads lengths as itself: the actor's role would have to trust it, and could then be used for receiving.
        identity: Manifest = {"provider": "aws"}
        if settings.keda_role_arn is not None:
            identity["roleArn"] = settings.keda_role_arn
        return Trigger("aws-sqs-queue", metadata, {"podIdentity": identity})

    def queue(self, context: Context) -> QueueStatus:
        """Return the queue's ARN, and its address once it is known."""
        url = context.observed.at(QUEUE, "status", "atProvider", "url")
        return QueueStatus(arn(context, names.sqs_queue(context)), url)


def _variables(context: Context) -> dict[str, str]:
    """Return what the sidecar is told: what the platform has not set, it is not told."""
    settings = settings_of(context)
    claims = settings.claim_check
    found = {
        "ASYA_AWS_REGION": settings.region,
        "ASYA_SQS_ACCOUNT_ID": settings.account_id,
        "ASYA_SQS_ENDPOINT": settings.endpoint,
        "ASYA_SQS_MAX_MESSAGE_BYTES": settings.max_message_bytes,
        "ASYA_SQS_FIFO": "true" if settings.fifo else None,
    }
    if claims is not None:
        found |= {
            "ASYA_SQS_CLAIM_CHECK_BUCKET": claims.bucket,
            "ASYA_SQS_CLAIM_CHECK_PREFIX": claims.prefix,
            "ASYA_SQS_CLAIM_CHECK_MAX_BYTES": claims.max_bytes,
            "ASYA_SQS_CLAIM_CHECK_ENDPOINT": claims.endpoint,
        }
    return {**crew.variables(context), **{name: str(value) for name, value in found.items() if value is not None}}


def _egress(settings: SqsSettings) -> list[Manifest]:
    ports = {_port(settings.endpoint)}
    if settings.claim_check is not None:
        ports.add(_port(settings.claim_check.endpoint))
    found = [_to(settings.egress_cidr, port) for port in sorted(ports)]
    if settings.identity == "podIdentity":
        found.append(_to(_POD_IDENTITY_AGENT, 80))
    return found


def _port(endpoint: str | None) -> int:
    api = urlsplit(endpoint or "https://aws")
    return api.port or (443 if api.scheme == "https" else 80)


def _to(block: str, port: int) -> Manifest:
    return {"to": [{"ipBlock": {"cidr": block}}], "ports": [{"port": port, "protocol": "TCP"}]}
