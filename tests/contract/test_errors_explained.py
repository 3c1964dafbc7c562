"""Every error leads to a page that says what it means; every request has an id of its own, in whatever process it is answered."""

import os
import re
from pathlib import Path

import perennial
from perennial.api import errors, explained
from perennial.api.headers import new_request_id
from tests.asking import ask
from tests.world import House, World

V2_NAMES = {one.name for one in explained.V2}
V1_NAMES = {one.name for one in explained.V1}


def test_every_type_and_number_is_explained() -> None:
    assert {*errors._V2_TYPE.values(), *(type for _, type in errors._V2.values())} == V2_NAMES
    source = "".join(path.read_text() for path in Path(perennial.__file__).parent.rglob("*.py"))
    numbers = {*re.findall(r"code=(7\d{3})\b", source), *map(str, errors._V1_CODE.values())}
    assert numbers - V1_NAMES == set()


async def test_doc_url_leads_to_a_page_that_names_the_type(house: House, world: World) -> None:
    path = f"/v2/projects/{world.project_id}"
    for method, address, headers, body in (
        ("GET", "/v2/projects", {}, None),
        ("GET", f"{path}/apps/none", world.secret, None),
        ("POST", f"{path}/apps", world.secret, {}),
        ("DELETE", "/v2/projects", world.secret, None),
        ("GET", "/v2/projects/other/apps", world.secret, None),
    ):
        told = (await world.http.request(method, address, headers=headers, json=body)).json()
        page, _, anchor = told["doc_url"].partition("#")
        answer = await ask(house.front, "GET", page.encode())
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert anchor == told["type"]
        assert f'id="{anchor}"' in answer.body.decode()


def test_the_document_is_the_page() -> None:
    text = explained.markdown()
    assert all(f"| `{one.name}` |" in text for one in (*explained.V2, *explained.V1))


def test_a_child_gives_no_id_of_its_parent_again() -> None:
    given, taken = os.pipe()
    if (child := os.fork()) == 0:
        os.write(taken, b"\n".join(new_request_id() for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(os.read(given, 10_000).split(b"\n"))
    ours = {new_request_id() for _ in range(100)}
    os.close(given)
    os.close(taken)
    assert len(theirs | ours) == 200
