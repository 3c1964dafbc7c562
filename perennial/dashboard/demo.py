"""Where the demo project is: what `demo.json` says that the pages need. The secret key stays in the file."""

from pathlib import Path

import msgspec

from perennial.base.errors import Unavailable
from perennial.base.ids import ProjectId
from perennial.demo import FILE
from perennial.settings import Settings


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """The fields read; the others, the secret key among them, are not even decoded."""

    project_id: ProjectId
    base_url: str
    webhook_secret: str

    def __repr__(self) -> str:
        return f"Demo({self.project_id})"


def path_of(settings: Settings) -> Path:
    return settings.home / FILE


def require_demo(settings: Settings) -> Demo:
    """Read anew each time: it is small, and another start may have written another. `Unavailable` where there is none."""
    try:
        return msgspec.json.decode(path_of(settings).read_bytes(), type=Demo)
    except (OSError, msgspec.MsgspecError) as error:
        raise Unavailable(f"there is no demo project in {path_of(settings)}; start it with `perennial up`") from error
