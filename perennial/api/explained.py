"""What the errors of both APIs mean and what to do about them: docs/errors.md, and the page that `doc_url` leads to, are made of this.

`python -m tools.docs` writes the document.
"""

from html import escape

from litestar import Response, get

from perennial.base.value import value

PATH = "/docs/errors"


@value
class Explained:
    name: str  # a type of v2, or a number of v1
    status: str
    means: str
    do: str


V2 = (
    Explained(
        name="parameter_error",
        status="400",
        means="A field of the path, the query or the body is missing or not as documented. `param` names it, the message says what it must be.",
        do="Send it as the message says. The same request is refused again.",
    ),
    Explained(
        name="invalid_request",
        status="400, 405, 413, 415",
        means="The request as a whole is not one: its body is not JSON or not said to be, is too large or compressed in a way that is not read,"
        " or the method is not allowed there.",
        do="Look at the method (the answer's `Allow` names those there are), at `Content-Type: application/json` and at the size.",
    ),
    Explained(
        name="authentication_error",
        status="401",
        means="There is no key, or it is not known here, was revoked or has expired.",
        do="Send `Authorization: Bearer <key>` with a secret key of this installation (`perennial keys create`); renew an access token.",
    ),
    Explained(
        name="authorization_error",
        status="403",
        means="The key is known and may not do this: it is a public one, or lacks the permission that the message names.",
        do="Use a key with that permission. `perennial keys create --permission ...` makes one.",
    ),
    Explained(
        name="resource_missing",
        status="404",
        means="There is nothing of that id, or not within reach of the key; or there is no such address.",
        do="Check the id and which project the key is of.",
    ),
    Explained(
        name="resource_already_exists",
        status="409",
        means="The name or id is taken in this project.",
        do="Use the one that is there, or another name.",
    ),
    Explained(
        name="idempotency_error",
        status="409",
        means="The Idempotency-Key stands for another request, or what became of its first request cannot be known.",
        do="Use a new key for a new request. Where it cannot be known, look whether it was done before sending it with another key.",
    ),
    Explained(
        name="unprocessable_entity_error",
        status="422",
        means="The request is understood and contradicts what is so: something is in use, over, or at the most there may be of it.",
        do="Change what the message names first.",
    ),
    Explained(
        name="entity_references_archived_entities",
        status="422",
        means="It needs what is archived; `referenced_object_ids` are those things.",
        do="Unarchive them first.",
    ),
    Explained(name="store_error", status="422", means="The store was asked and refused for good; the message has its words.", do="Settle it there."),
    Explained(
        name="resource_locked_error",
        status="423",
        means="Somebody is at the same thing at this very moment.",
        do="Send the same request again after `Retry-After` seconds (`backoff_ms`).",
    ),
    Explained(
        name="rate_limit_error",
        status="429",
        means="The key has asked more often in this minute than it may.",
        do="Wait `Retry-After` seconds. The headers `RevenueCat-Rate-Limit-Current-Usage` and `-Limit` say where the key stands.",
    ),
    Explained(
        name="server_error",
        status="500, 503",
        means="The trouble is ours. 503 is passing (the database is away, too much is being sent at once), a 500 was logged.",
        do="Send a 503 again after `Retry-After` seconds; `outcome` says whether a write may have been done. Report a 500 with its `X-Request-ID`.",
    ),
)

V1 = (
    Explained(name="7000", status="400", means="The store cannot be told from the request.", do="Send `X-Platform`, or use the app's public key."),
    Explained(name="7012", status="400", means="The e-mail address is none.", do="Send another."),
    Explained(name="7102", status="409", means="The purchase belongs to another app user id.", do="Log in as that one, or let purchases move."),
    Explained(name="7103", status="400", means="The receipt or token is missing or not valid.", do="Send the store's own, as it gave it."),
    Explained(name="7110", status="500, 503", means="The trouble is ours.", do="Send it again later; SDKs do so by themselves."),
    Explained(name="7114", status="429", means="Too many requests.", do="Wait `Retry-After` seconds."),
    Explained(name="7220", status="400", means="The app user id is empty.", do="Send the user's id, or the SDK's anonymous one."),
    Explained(name="7224", status="401", means="There is no key.", do="Send `Authorization: Bearer <key>`."),
    Explained(name="7225", status="401, 403", means="The key is not known, or may not do this.", do="Check which installation and app it is of."),
    Explained(
        name="7226",
        status="400, 404, 405, 409, 413, 415",
        means="The request cannot be done as it stands; the message says why.",
        do="Change what it names.",
    ),
    Explained(name="7234", status="400", means="Offers cannot be signed: the app lacks its key.", do="Set the in-app purchase key of the app."),
    Explained(name="7256", status="400, 403", means="The app user id is none, or blocked.", do="Send a stable id of at most 100 characters."),
    Explained(name="7259", status="404", means="There is no such customer, subscription or purchase.", do="Check the id and the project."),
    Explained(name="7263", status="400", means="Some attributes were not kept; the others were.", do="See `attribute_errors`."),
    Explained(name="7752", status="409", means="The periods of an external purchase overlap.", do="Send periods that follow each other."),
    Explained(name="7772", status="409", means="The customer has that product already.", do="Choose another product."),
    Explained(name="7773", status="409, 422", means="The change of plan is not possible; the message says why.", do="See the message."),
    Explained(name="7849", status="404", means="No redemption link has this token.", do="Open the link anew from the mail."),
    Explained(name="7852", status="403", means="The web purchase was redeemed by another app user id.", do="Log in as that one."),
    Explained(name="7853", status="403", means="The redemption link has expired.", do="Ask for a new one."),
    Explained(name="7877", status="404", means="The checkout session is not known or has ended.", do="Start again."),
    Explained(name="7878", status="400, 409, 422", means="The checkout cannot go on; the message says why.", do="See the message."),
)

_INTRODUCTION = (
    "Every error says in a sentence which field is meant, what is wrong with it and what to do. Quote the header `X-Request-ID` when you report one."
    " What a server sends and nobody reads, such as a misspelt parameter or field, is no error: the header `X-Perennial-Warning` names it."
    " To an SDK a 4xx after a purchase is final, so trouble on our side is always 5xx."
)


def markdown() -> str:
    lines = ["# Errors", "", "Made from `perennial/api/explained.py`; a running server shows it at `/docs/errors`.", "", _INTRODUCTION, ""]
    for title, named, explained in _PARTS:
        lines += [f"## {title}", "", f"| {named} | status | means | what to do |", "|---|---|---|---|"]
        lines += [f"| `{one.name}` | {one.status} | {one.means} | {one.do} |" for one in explained]
        lines += [""]
    return "\n".join(lines)


_PARTS = (("v2: `type`", "type", V2), ("v1: `code`", "code", V1))


def _html() -> str:
    parts = ['<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors</title>', f"<h1>Errors</h1><p>{escape(_INTRODUCTION)}</p>"]
    for title, _, explained in _PARTS:
        parts.append(f"<h2>{escape(title.replace('`', ''))}</h2>")
        parts += [
            f'<h3 id="{one.name}">{one.name}</h3><p>Status {escape(one.status)}. {_words(one.means)}</p><p>{_words(one.do)}</p>' for one in explained
        ]
    return "".join([*parts, "</html>"])


def _words(text: str) -> str:
    return "".join(f"<code>{escape(part)}</code>" if place % 2 else escape(part) for place, part in enumerate(text.split("`")))


@get(PATH, include_in_schema=False)
async def errors_page() -> Response[bytes]:
    headers = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff"}
    return Response(content=_html().encode(), media_type="text/html", headers=headers)
