"""The web pages, calling the same verbs as everyone."""

from litestar import Router

router = Router(path="/", route_handlers=[])
