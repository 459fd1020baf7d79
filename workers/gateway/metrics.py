"""Numbers for Prometheus, read from the hub when they are asked for; nothing is counted twice for them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tidings.bus import State
from tidings.bus.states import WAITING
from tidings.workers.gateway.hub import Hub
from tidings.workers.gateway.tokens import Rank


class HubCollector(Collector):
    """What a hub knows, as metrics."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it is now."""
        yield from self._viewers()
        yield from self._fleet()

    def _viewers(self) -> Iterator[Metric]:
        hub, counts = self._hub, self._hub.counts
        viewers = GaugeMetricFamily("tidings_gateway_viewers", "Streams that are open.", labels=["stream"])
        viewers.add_metric(["fleet"], len(hub.fleet_viewers))
        viewers.add_metric(["session"], len(hub.session_viewers))
        yield viewers
        streams = GaugeMetricFamily("tidings_gateway_streams", "Streams that are open, by the token's role.", labels=["role"])
        for rank in Rank:
            streams.add_metric([rank.value], counts.streams[rank])
        yield streams
        refused = "Streams that were refused because too many were open."
        yield _counter("tidings_gateway_streams_refused", refused, "role", counts.streams_refused)
        yield _counter("tidings_gateway_frames", "Frames given to streams.", "stream", counts.frames)
        told = "Viewers that fell behind what is kept for all, and read the log or began anew."
        yield _counter("tidings_gateway_overflows", told, "stream", counts.overflows)
        yield CounterMetricFamily("tidings_gateway_gaps", "Gaps told to viewers: events that are lost.", counts.gaps)
        missed = "Notices that a slow viewer was not sent."
        yield CounterMetricFamily("tidings_gateway_notices_missed", missed, counts.notices_missed)
        yield CounterMetricFamily("tidings_gateway_stalled", "Answers ended because they were not read.", counts.stalled)
        yield GaugeMetricFamily("tidings_gateway_connections", "Connections that are open.", counts.connections)
        ended = "Connections that were ended: limit, malformed, idle, head, body, reader."
        yield _counter("tidings_gateway_connections_ended", ended, "why", counts.connections_ended)
        commands = CounterMetricFamily("tidings_gateway_commands", "Commands by what became of them.", labels=["type", "result"])
        for (kind, result), count in sorted(counts.commands.items()):
            commands.add_metric([kind, result], count)
        yield commands

    def _fleet(self) -> Iterator[Metric]:
        hub = self._hub
        sessions = GaugeMetricFamily("tidings_sessions", "Sessions by state.", labels=["state"])
        for state in State:
            sessions.add_metric([state.value], hub.ledger.by_state[state])
        yield sessions
        parked = "Those of them that wait without a worker, for a limit or for an outage to end."
        waiting = GaugeMetricFamily("tidings_sessions_parked", parked, labels=["state"])
        for state in sorted(WAITING):
            waiting.add_metric([state.value], hub.ledger.parked[state])
        yield waiting
        processes = GaugeMetricFamily("tidings_processes", "Processes that are alive.", labels=["role"])
        for role in sorted({one.presence.role for one in hub.roll}):
            processes.add_metric([role.value], sum(one.live and one.presence.role is role for one in hub.roll))
        yield processes
        yield CounterMetricFamily("tidings_llm_retries", "Calls to models that were repeated, as seen here.", hub.counts.retries)
        yield CounterMetricFamily("tidings_llm_refused", "Those of them that met a rate limit.", hub.counts.refused)
        yield GaugeMetricFamily("tidings_gateway_connected", "Whether the Pub/Sub connection stands.", float(hub.bus.connected))
        yield CounterMetricFamily("tidings_gateway_reconnects", "How often it was lost.", hub.bus.reconnects)


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


class Metrics:
    """The numbers of one gateway, in a registry of its own."""

    def __init__(self, hub: Hub) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(HubCollector(hub))

    def text(self) -> bytes:
        """Return them in the text format of Prometheus."""
        return generate_latest(self._registry)
