"""Talks v2 as a server with a secret key does: within one project, in JSON."""

from dataclasses import dataclass
from typing import Any

from tests.world import World


@dataclass
class Caller:
    world: World
    headers: dict[str, str]

    @classmethod
    def of(cls, world: World) -> "Caller":
        return cls(world=world, headers=world.secret)

    def path(self, path: str) -> str:
        return path if path.startswith("/v2") else f"/v2/projects/{self.world.project_id}{path}"

    async def ask(self, method: str, path: str, body: Any = None, *, status: int | None = None, **query: Any) -> Any:
        """The decoded answer. `status` is what it must be: without it, any success."""
        answer = await self.world.http.request(
            method, self.path(path), headers=self.headers, params=query or None, **({} if body is None else {"json": body})
        )
        assert answer.status_code == status if status is not None else answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        return await self.ask("GET", path, status=status, **query)

    async def post(self, path: str, body: Any = None, *, status: int | None = None) -> Any:
        return await self.ask("POST", path, body, status=status)

    async def all(self, path: str, **query: Any) -> list[Any]:
        """Every page of a list, as `next_page` leads."""
        page = await self.get(path, **query)
        items = list(page["items"])
        while page["next_page"] is not None:
            page = await self.get(page["next_page"])
            items += page["items"]
            assert len(items) < 10_000, "pages that never end"
        return items

    async def refused(self, method: str, path: str, body: Any = None, *, status: int, type: str, param: str | None = None, **query: Any) -> str:
        """The message of a refusal that is exactly the vendor's error object."""
        error = await self.ask(method, path, body, status=status, **query)
        assert error["object"] == "error"
        assert (error["type"], error.get("param")) == (type, param), error
        assert error["retryable"] is (status in (423, 429, 503))
        assert set(error) <= {"object", "type", "message", "param", "retryable", "doc_url", "backoff_ms", "referenced_object_ids"}
        message: str = error["message"]
        return message
