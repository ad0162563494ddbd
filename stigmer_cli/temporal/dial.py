"""One dial of Temporal, and the probe of what was dialled; no retries and no memory."""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    DescribeWorkflowExecutionRequest,
    GetClusterInfoRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client, GrpcCompression
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import KeepAliveConfig, RPCError, RPCStatusCode

from stigmer_cli.clock import Clock, SystemClock
from stigmer_cli.errors import reason_of
from stigmer_cli.host_names import hosts_to_try
from stigmer_cli.temporal.dev_server import RETENTION_DAYS
from stigmer_cli.temporal.errors import Misconfigured, SubmitRejected, Throttled, WorkflowMissing, translate
from stigmer_cli.temporal.secure import find_tls_cause, tls_of
from stigmer_cli.temporal.state import ClusterIdentity
from stigmer_cli.temporal.target import Target
from stigmer_cli.waits import both, first_success

DAY_S = 86_400
NO_SUCH_WORKFLOW = "stigmer/probe"
"""Asked for by every probe. "Not found" proves that history serves: a namespace alone is described without it."""

KEEP_ALIVE = KeepAliveConfig(interval_millis=15_000, timeout_millis=5_000)
"""Slower than 10 s, or the server answers with GOAWAY (its keepAliveMinTime); the probe is what detects."""

KNOCK_EVERY_S = 0.1

_REFUSALS = {"PermissionDenied": "permission denied", "Unauthenticated": "credentials refused"}
_log = structlog.get_logger()


class Session(Protocol):
    """One dialled client and what can be asked of it."""

    @property
    def client(self) -> Client:
        """The SDK's client, alive as far as the last probe knows."""

    async def probe(self) -> ClusterIdentity:
        """Describe the namespace and ask history; raises what the SDK raises."""


class Line(Protocol):
    """An open connection that says nothing."""

    def is_closing(self) -> bool:
        """Whether it has ended, or is about to."""

    def close(self) -> None:
        """End it."""


class Dialer(Protocol):
    """Makes sessions."""

    async def dial(self, target: Target, *, identity: str) -> Session:
        """A session that has not been probed yet; raises what the SDK raises. The caller sets the deadline."""

    async def wait_listening(self, target: Target) -> None:
        """Return as soon as somebody listens at the address of `target`; says nothing about who. No deadline."""

    async def open_line(self, target: Target, ended: Callable[[], None]) -> Line:
        """A line to the port of `target`; calls `ended` when it ends; raises OSError. The caller sets the deadline."""


class SdkDialer:
    """Dials with the SDK, on one quiet runtime for the whole process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    async def dial(self, target: Target, *, identity: str) -> Session:
        """A connected client.

        Raises RuntimeError where nobody listens, Misconfigured where the key or a file for TLS cannot be used, where
        the key is refused, or where both ends do not agree on TLS.
        """
        try:
            client = await _connect(target, identity)
        except RuntimeError as error:
            raise _refused(error) or await find_tls_cause(error, target, clock=self._clock) or error from error
        return SdkSession(client=client, target=target)

    async def wait_listening(self, target: Target) -> None:
        """Try the port every `KNOCK_EVERY_S` until it opens."""
        while True:
            await asyncio.sleep(KNOCK_EVERY_S)
            with suppress(OSError):
                (await self.open_line(target, lambda: None)).close()
                return

    async def open_line(self, target: Target, ended: Callable[[], None]) -> Line:
        """A plain connection: the kernel closes it when Temporal's process ends, however that ended.

        Temporal closes it after two minutes without a word (grpc-go's connection timeout, 120 s).
        """

        async def connect(address: str) -> Line:
            host, _, port = address.rpartition(":")
            line, _ = await asyncio.get_running_loop().create_connection(
                lambda: _Listener(ended), host.strip("[]"), int(port)
            )
            return line

        return await first_success(_addresses_to_try(target), connect, despite=OSError)


class _Listener(asyncio.Protocol):
    """Hears nothing but the end."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def connection_lost(self, _exc: Exception | None) -> None:
        self._ended()


async def _connect(target: Target, identity: str) -> Client:
    """A connected client; raises RuntimeError where nobody listens, as the address that is named says it."""

    async def connect(address: str) -> Client:
        return await Client.connect(
            address,
            namespace=target.namespace,
            api_key=read_api_key(target),
            tls=tls_of(target),
            identity=identity,
            keep_alive_config=KEEP_ALIVE,
            # On one machine to compress what is sent only takes time, at both ends.
            grpc_compression=GrpcCompression.NONE if target.is_loopback else GrpcCompression.GZIP,
            runtime=quiet_runtime(),
        )

    return await first_success(_addresses_to_try(target), connect, despite=RuntimeError)


def _addresses_to_try(target: Target) -> Sequence[str]:
    """The address, and for `localhost` what it may not be resolved to; a certificate is for the name only."""
    host, _, port = target.address.rpartition(":")
    others = () if target.is_tls else hosts_to_try(host)[1:]
    return (target.address, *(f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in others))


def read_api_key(target: Target) -> str | None:
    """The key as its file holds it now, None where `target` wants none; raises Misconfigured."""
    if target.api_key_file is None:
        return None
    try:
        key = target.api_key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the API key file {target.api_key_file} cannot be read: {reason_of(error)}") from error
    if not key:
        raise Misconfigured(f"the API key file {target.api_key_file} is empty")
    return key


@dataclass(frozen=True, kw_only=True)
class SdkSession:
    """A client of the SDK, and the probe that goes through that very client."""

    client: Client
    target: Target
    _clusters: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    async def probe(self) -> ClusterIdentity:
        """Which Temporal answers; raises RPCError, or Throttled where history is out of room."""
        service = self.client.workflow_service
        request = DescribeNamespaceRequest(namespace=self.target.namespace)
        namespace, _ = await both(service.describe_namespace(request, retry=False), self._ask_history())
        if self.target.is_own and _retention_s(namespace) < RETENTION_DAYS * DAY_S:
            await self._raise_retention()
        namespace_id = namespace.namespace_info.id
        if namespace_id not in self._clusters:  # another Temporal has another namespace, too
            self._clusters[namespace_id] = await self._cluster_id()
        return ClusterIdentity(
            cluster_id=self._clusters[namespace_id], namespace_id=namespace_id, retention_s=_retention_s(namespace)
        )

    async def _cluster_id(self) -> str:
        """The cluster's id; empty where one may not ask for it, as on a Temporal that many share."""
        try:
            answer = await self.client.workflow_service.get_cluster_info(GetClusterInfoRequest(), retry=False)
        except RPCError as error:
            if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
                return ""
            raise
        return answer.cluster_id

    async def _ask_history(self) -> None:
        try:
            await self.client.workflow_service.describe_workflow_execution(
                DescribeWorkflowExecutionRequest(
                    namespace=self.target.namespace, execution=WorkflowExecution(workflow_id=NO_SUCH_WORKFLOW)
                ),
                retry=False,
            )
        except RPCError as error:
            # An answer about the workflow is an answer: only silence and a wrong namespace mean something here.
            if not isinstance(translate(error, self.target), WorkflowMissing | SubmitRejected | Throttled):
                raise

    async def _raise_retention(self) -> None:
        try:
            await ensure_retention(self.client, self.target.namespace, RETENTION_DAYS)
        except RPCError as error:
            _log.warning("temporal_retention_not_raised", namespace=self.target.namespace, cause=error.message)


async def ensure_retention(client: Client, namespace: str, days: int) -> None:
    """Keep closed workflows of `namespace` for `days` days; raises RPCError."""
    ttl = Duration(seconds=days * DAY_S)
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(namespace=namespace, config=NamespaceConfig(workflow_execution_retention_ttl=ttl)),
        retry=False,
        timeout=timedelta(seconds=1),
    )


NATIVE_LOG = logging.getLogger("temporalio.native")
"""Where the SDK's native side logs, if it has a handler before the first dial; a process with none logs to stderr."""

NATIVE_FILTER = "error,temporalio_sdk_core::worker::workflow=warn"
"""The native side alone knows why a workflow task failed, and says so as a warning."""


@functools.cache
def quiet_runtime() -> Runtime:
    """The SDK's native side, once a process; without its WARN line per retry, since the connection logs itself."""
    if NATIVE_LOG.handlers:
        forwarding = LogForwardingConfig(
            logger=NATIVE_LOG, prepend_target_on_message=False, append_log_fields_to_message=False
        )
        config = LoggingConfig(filter=NATIVE_FILTER, forwarding=forwarding)
    else:
        config = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    return Runtime(telemetry=TelemetryConfig(logging=config))


def _refused(error: RuntimeError) -> Misconfigured | None:
    """The refusal of our credentials in the SDK's own first call, which it reports as text only."""
    words = next((words for code, words in _REFUSALS.items() if f"code: {code}" in str(error)), None)
    return Misconfigured(words) if words else None


def _retention_s(described: DescribeNamespaceResponse) -> int:
    return described.config.workflow_execution_retention_ttl.seconds
