"""Secrets stay out of what is printed: canaries in every kind of secret, and every way to fail that can be reached from outside."""

import asyncio
import base64
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import quote, urlsplit

import asyncpg
import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial import catalog, events
from perennial.app import App, open_app
from perennial.base.ids import ProjectId, new_id, random_bytes
from perennial.base.secrets import Secret, conceal, covered, without_credentials
from perennial.base.time import wall_clock
from perennial.base.value import value
from perennial.catalog.model import STORE_KINDS
from perennial.intake import db
from perennial.intake.model import Question, StoreApp
from perennial.providers.stripe import signature
from tests.answering import Answering
from tests.ports import free_port
from tests.world import settings_for

PASSWORD = "CANARYpassword/with@slash"
INSTALLATION = b"CANARYinstallation-key-32-bytes!"
STARTED = 60  # seconds


@value
class Nest:
    """An installation of its own whose every secret is a canary."""

    url: str
    owner_url: str
    home: Path
    project_id: ProjectId
    app_ids: dict[str, str]
    canaries: tuple[str, ...]
    port: int
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": self.url,
            "PERENNIAL_HOME": str(self.home),
            "PERENNIAL_SECRET_KEY": base64.b64encode(INSTALLATION).decode(),
            "PERENNIAL_ALLOW_INTERNAL_WEBHOOKS": "1",
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
        }

    def check(self, output: str, what: str) -> None:
        found = [canary[:30] for canary in self.canaries if canary in output]
        assert not found, f"{what} shows {found}:\n{output[:4000]}"


@pytest.fixture
async def store() -> AsyncIterator[Answering]:
    """A store that repeats whatever it was sent, in an error."""
    answering = Answering()
    handler = answering.server.RequestHandlerClass

    def repeat(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        said = {"error": {"code": 500, "message": f"{self.path} {dict(self.headers)} {raw}", "status": "INTERNAL", "detail": str(dict(self.headers))}}
        content = msgspec.json.encode(said)
        self.send_response(422)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    handler.do_GET = handler.do_POST = handler.do_PATCH = repeat  # type: ignore[attr-defined]
    yield answering
    answering.close()


@pytest.fixture
async def nest(database_url: str, own_url: str, tmp_path: Path, store: Answering, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nest]:
    name = f"canary_{random_bytes(6).hex()}"
    keeper = await asyncpg.connect(database_url)
    await keeper.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    parts = urlsplit(own_url)
    url = parts._replace(netloc=f"{name}:{quote(PASSWORD, safe='')}@{parts.netloc.rpartition('@')[2]}").geturl()
    monkeypatch.setenv("PERENNIAL_SECRET_KEY", base64.b64encode(INSTALLATION).decode())
    async with open_app(settings_for(url, tmp_path), connections=2) as app:
        project_id, app_ids, canaries, key = await _fill(app, store.address)
    yield Nest(
        url=url,
        owner_url=own_url,
        home=tmp_path,
        project_id=project_id,
        app_ids=app_ids,
        canaries=(*canaries, PASSWORD, quote(PASSWORD, safe=""), base64.b64encode(INSTALLATION).decode(), INSTALLATION.decode()),
        port=free_port(),
        secret_key=key,
    )
    await keeper.execute(f"DROP ROLE {name}")
    await keeper.close()


async def _fill(app: App, address: str) -> tuple[ProjectId, dict[str, str], list[str], str]:
    p8 = _pem(ec.generate_private_key(ec.SECP256R1()))
    account = {"type": "service_account", "client_email": "a@b.c", "private_key": _pem(rsa.generate_private_key(65537, 2048))}
    canaries = [line for text in (p8, account["private_key"]) for line in text.splitlines() if not line.startswith("-") and len(line) > 30]
    project_id = ProjectId(new_id("proj", app.database.clock()))
    app_ids: dict[str, str] = {}
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "Canaries", is_sandbox=True)
        await catalog.set_clock(tx, app.database.clock(), app.database.clock())
        _, key = await catalog.create_secret_key(tx, "canary")
        for kind_name, kind in STORE_KINDS.items():
            secrets = {}
            for secret in kind.secrets:
                secrets[secret] = {"service_account": msgspec.json.encode(account).decode(), "app_store_connect_api_key": p8}.get(
                    secret, f"CANARY_test_{kind_name}_{secret}"
                )
            canaries += [text for text in secrets.values() if text.startswith("CANARY")]
            made, _ = await catalog.create_app(
                tx,
                app.vault,
                name=kind_name,
                store=kind_name,
                bundle_id="com.example.canary" if kind.identifier else None,
                api_key_id="K" if "app_store" in kind_name else None,
                api_issuer="I" if "app_store" in kind_name else None,
                api_private_key=p8 if "app_store" in kind_name else None,
                api_base_url=address if kind.secrets else None,
                settings={"tenant_id": "t", "client_id": "c"} if kind_name == "microsoft" else {},
                secrets=secrets,
            )
            app_ids[kind_name] = made.app_id
        _, webhook_secret = await events.create_endpoint(
            tx, app.vault, name="Hook", url=f"{address}/hook", authorization_header="Bearer CANARY-authorization-header"
        )
        for kind_name, secrets in {
            "slack": {"url": f"{address}/services/CANARYslack"},
            "segment": {"write_key": "CANARYsegment"},
            "amplitude": {"api_key": "CANARYamplitude"},
            "mixpanel": {"token": "CANARYmixpanel"},
            "posthog": {"api_key": "CANARYposthog"},
        }.items():
            settings = {} if kind_name == "slack" else {"base_url": address}
            await events.create_integration(tx, app.vault, app.carrier, kind=kind_name, name=kind_name, settings=settings, secrets=secrets)
    canaries += [webhook_secret, "CANARY-authorization-header", "CANARYslack", "CANARYsegment", "CANARYamplitude", "CANARYmixpanel", "CANARYposthog"]
    return project_id, app_ids, [*canaries, key], key


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


# The type -------------------------------------------------------------------------------------------------------------------------


def test_a_secret_is_shown_by_nothing() -> None:
    secret = Secret("CANARY")
    app = StoreApp(project_id=ProjectId("p"), app_id="a", store="stripe", bundle_id=None, api_private_key="CANARY", secrets={"api_key": "CANARY"})  # type: ignore[arg-type]
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        repr([secret]),
        repr({"a": secret}),
        repr(app),
        str(app.secrets),
    ):
        assert "CANARY" not in shown
    assert secret.reveal() == app.reveal("api_key") == "CANARY" and secret == Secret(b"CANARY") and secret != "CANARY"
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert "CANARY" not in repr(settings_for("postgresql://me:CANARY@host/db", Path()))


def test_what_others_repeat_of_a_secret_is_concealed() -> None:
    key = Secret("sk_CANARY/1 2")
    url = Secret("postgresql://me:pass%2Fword@host/db")
    document = Secret('{"private_key": "-----BEGIN-----\\nAAAAAAAAAAAAAAAAAAAAAAAA\\nBBBB\\n", "client_email": "someone@example.com"}')
    said = (
        f"no {key.reveal()}, sk_CANARY%2F1%202, {base64.b64encode(b'sk_CANARY/1 2:').decode()}; pass%2Fword and pass/word; AAAAAAAAAAAAAAAAAAAAAAAA"
    )
    assert conceal(said) == "no ***, ***, ***; *** and ***; ***"
    assert conceal("someone@example.com and postgresql on host/db") == "someone@example.com and postgresql on host/db"
    assert (url, document, covered({"a": "x"})["a"].reveal())[2] == "x"
    assert without_credentials("https://me:secret@example.com:8443/path?token=x#y") == "https://example.com:8443/path"
    assert without_credentials("postgresql://me:pa/ss@host/db") == "***"


# Processes ------------------------------------------------------------------------------------------------------------------------


class Program:
    """A process of the product's, its output kept: through a terminal, or piped."""

    def __init__(self, nest: Nest, *arguments: str, terminal: bool, **environment: str) -> None:
        self.output = b""
        self._read, write = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "perennial", *arguments],
            env={**nest.environment, "TERM": "xterm", "COLUMNS": "400", **environment},
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            start_new_session=True,
        )
        os.close(write)
        self._reader = Thread(target=self._collect)
        self._reader.start()

    def _collect(self) -> None:
        while True:
            try:
                chunk = os.read(self._read, 65536)
            except OSError:  # how a terminal says that nobody is left on the other side
                break
            if not chunk:
                break
            self.output += chunk
        os.close(self._read)

    def wait(self) -> str:
        self.process.wait(STARTED)
        self._reader.join(STARTED)
        return self.output.decode(errors="replace")

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


@contextmanager
def running(nest: Nest, *arguments: str, terminal: bool) -> Iterator[Program]:
    program = Program(nest, *arguments, terminal=terminal)
    try:
        yield program
    finally:
        program.stop()
    nest.check(program.output.decode(errors="replace"), " ".join(arguments))


async def _until(there: object, program: Program) -> None:
    async with asyncio.timeout(STARTED):
        while not there():  # type: ignore[operator]
            assert program.process.poll() is None, program.output
            await asyncio.sleep(0.05)


async def _break(nest: Nest) -> None:
    """Nothing can be written about lines: an exception no code of ours foresees, in whoever records a purchase."""
    owner = await asyncpg.connect(nest.owner_url)
    await owner.execute("CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken on purpose'; END $$")
    await owner.execute("CREATE TRIGGER broken BEFORE INSERT ON line FOR EACH STATEMENT EXECUTE FUNCTION public.broken()")
    await owner.execute("CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON inquiry FOR EACH STATEMENT EXECUTE FUNCTION public.broken()")
    await owner.close()


async def _post_stripe(nest: Nest, http: httpx.AsyncClient, number: int) -> httpx.Response:
    """A purchase told by a webhook, signed as Stripe does."""
    fixture = msgspec.json.encode(
        {
            "id": f"evt_{number}",
            "object": "event",
            "type": "customer.subscription.updated",
            "created": 1_700_000_000,
            "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active"}},
            "livemode": False,
            "api_version": "2025-01-27.acacia",
        }
    )
    signed = signature.sign(fixture, secret="CANARY_test_stripe_webhook_secret", now=wall_clock())
    return await http.post(f"/hooks/stripe/{nest.app_ids['stripe']}", content=fixture, headers={signature.HEADER: signed})


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "piped"])
async def test_a_failing_request_and_a_failing_round_show_no_secret(nest: Nest, terminal: bool) -> None:
    with running(nest, "serve", terminal=terminal) as server:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{nest.port}", trust_env=False) as http:
            async with asyncio.timeout(STARTED):
                while True:
                    try:
                        if (await http.get("/readyz")).status_code == 200:
                            break
                    except httpx.TransportError:
                        assert server.process.poll() is None, server.output
                    await asyncio.sleep(0.1)
            assert (await _post_stripe(nest, http, 1)).status_code == 200
            await _break(nest)
            headers = {"Authorization": f"Bearer {nest.secret_key}"}
            for store, token in (("stripe", "sub_1"), ("paddle", "sub_01h"), ("roku", "1-2"), ("amazon", "a"), ("app_store", "x.y.z")):
                answer = await http.post("/v1/receipts", json={"app_user_id": "ada", "fetch_token": token}, headers={**headers, "X-Platform": store})
                assert answer.status_code in (400, 503), answer.text
                nest.check(answer.text, f"the answer to a receipt of {store}")
    with running(nest, "worker", terminal=terminal) as worker:
        await _until(lambda: b"broken on purpose" in worker.output, worker)
        await asyncio.sleep(1)


async def _ask_all(nest: Nest) -> None:
    """A question to every store there is, on the list."""
    async with open_app(settings_for(nest.url, nest.home), connections=2) as app, app.database.transaction(nest.project_id) as tx:
        await db.inquire(
            tx,
            [(app_id, Question(environment="sandbox", subject=SUBJECTS.get(store, "1"))) for store, app_id in nest.app_ids.items()],
            "a test",  # type: ignore[misc]
        )


SUBJECTS = {"stripe": "sub_1", "paddle": "sub_01h", "amazon": "receipt@user", "microsoft": "1:2"}
COMMANDS = (
    ("clock", "advance", "--days", "40"),
    ("apps", "list"),
    ("customer", "show", "nobody"),
    ("catch-up",),
    ("doctor",),
    ("webhooks", "list"),
    ("integrations", "list"),
    ("keys", "list"),
    ("apps", "update", "nowhere", "--secret", "CANARY_test_stripe_api_key"),
    ("import", "api", "--url", "https://me:CANARY-authorization-header@127.0.0.1", "--their-project", "p", "--key", "k"),
)


@pytest.mark.parametrize("terminal", [True, pytest.param(False, marks=pytest.mark.deep)], ids=["terminal", "piped"])
async def test_failing_commands_show_no_secret(nest: Nest, terminal: bool) -> None:
    await _ask_all(nest)
    for broken in (False, True):
        if broken:
            await _break(nest)
            await _ask_again(nest)
        assert ("broken on purpose" if broken else "Stripe answered 422") in await _said(nest, *COMMANDS[0], terminal=terminal)
        others = COMMANDS[1:3] if broken else COMMANDS[1:]
        await asyncio.gather(*(_said(nest, *command, terminal=terminal) for command in others))
    nest.check(await _kept(nest), "the database")


async def _said(nest: Nest, *command: str, terminal: bool) -> str:
    said = await asyncio.to_thread(Program(nest, *command, terminal=terminal).wait)
    nest.check(said, " ".join(command))
    return said


async def _kept(nest: Nest) -> str:
    """What the database keeps of errors, for commands and pages to show."""
    owner = await asyncpg.connect(nest.owner_url)
    rows = await owner.fetch("SELECT last_error FROM inquiry UNION ALL SELECT last_error FROM delivery UNION ALL SELECT last_error FROM endpoint")
    await owner.close()
    assert any(row["last_error"] for row in rows)
    return repr(rows)


async def _ask_again(nest: Nest) -> None:
    owner = await asyncpg.connect(nest.owner_url)
    await owner.execute("ALTER TABLE inquiry DISABLE TRIGGER broken")
    await owner.execute("UPDATE inquiry SET wake_at = now() - interval '1 day', attempts = 0")
    await owner.execute("ALTER TABLE inquiry ENABLE TRIGGER broken")
    await owner.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:CANARYpassword/with@slash@127.0.0.1:1/db",  # the slash is not encoded: the password is read as a port
        "postgresql://me:CANARYpassword@127.0.0.1:1/db",
        "mysql://me:CANARYpassword@127.0.0.1/db",
        "postgresql://me:CANARYpassword@[::1/db",
        "postgresql://me:CANARYpassword@127.0.0.1:1/db?sslmode=CANARYpassword",
    ],
)
@pytest.mark.parametrize("command", ["migrate", pytest.param("serve", marks=pytest.mark.deep)])
async def test_a_database_that_cannot_be_opened_is_told_without_its_password(tmp_path: Path, url: str, command: str) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "PERENNIAL_HOME": str(tmp_path),
        "PERENNIAL_SECRET_KEY": base64.b64encode(INSTALLATION).decode(),
    }
    environment["PORT"] = str(free_port())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "perennial", command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), STARTED)
    assert process.returncode == 1 and b"CANARYpassword" not in said and base64.b64encode(INSTALLATION) not in said, said
