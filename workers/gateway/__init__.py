"""The gateway: what happens on a bus, for browsers and programs, over HTTP.

``serve`` runs one in the event loop of its caller; ``Gateway(bus, options).app`` is an ASGI application for another server.
"""

from tidings.workers.gateway.gateway import Gateway
from tidings.workers.gateway.options import GatewayOptions, is_loopback, new_token
from tidings.workers.gateway.server import ServedGateway, serve

__all__ = ["Gateway", "GatewayOptions", "ServedGateway", "is_loopback", "new_token", "serve"]
