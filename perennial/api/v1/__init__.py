"""What the SDKs and servers of the vendor's v1 call, in its exact shapes."""

from litestar import Router

from perennial.api.v1 import catalog, identity, purchases, service

router = Router(path="/", route_handlers=[*catalog.HANDLERS, *identity.HANDLERS, *purchases.HANDLERS, *service.HANDLERS], tags=["v1"])

__all__ = ["router"]
