"""Litestar's decorators, with the errors every operation of v2 may answer put into the documentation."""

from functools import partial

import litestar
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath

from perennial.api.v2.wire import Error

_ERRORS = {
    400: ResponseSpec(Error, description="A field is missing or not as documented", generate_examples=False),
    401: ResponseSpec(Error, description="No key, or one we do not know", generate_examples=False),
    403: ResponseSpec(Error, description="A public key, where a secret one is needed", generate_examples=False),
    404: ResponseSpec(Error, description="No such thing within reach of the key", generate_examples=False),
    409: ResponseSpec(Error, description="It contradicts what is already so", generate_examples=False),
    415: ResponseSpec(Error, description="The body is not JSON", generate_examples=False),
    503: ResponseSpec(Error, description="The trouble is ours; try again", generate_examples=False),
}

PathId = FromPath[str]

get = partial(litestar.get, responses=_ERRORS)
post = partial(litestar.post, responses=_ERRORS)
put = partial(litestar.put, responses=_ERRORS)
delete = partial(litestar.delete, responses=_ERRORS)
