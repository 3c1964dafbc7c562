"""The files an operator starts from: they name what exists, and the tools they are for accept them."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.main import get_command

from perennial.cli import app as command_line
from perennial.server import HEAD_WITHIN
from tests.deploy.conftest import DEPLOY, ROOT

FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
NOT_SETTINGS = {"PERENNIAL_PORT"}  # written by Kubernetes
OF_COMPOSE = {"DOMAIN", "OWNER_PASSWORD", "DATABASE_PASSWORD", "UPSTREAM"}


def known_settings() -> set[str]:
    """Every variable the product reads, by its name in the code."""
    sources = [path.read_text() for path in (ROOT / "perennial").rglob("*.py")]
    return {name for source in sources for name in re.findall(r"\b(?:PERENNIAL_[A-Z_]+|DATABASE_URL|HOST|PORT|WEB_CONCURRENCY)\b", source)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_a_file_names_is_one(path: Path) -> None:
    named = set(re.findall(r"\b(?:PERENNIAL_[A-Z_]+[A-Z]|DATABASE_URL|WEB_CONCURRENCY)\b", path.read_text()))
    assert named - NOT_SETTINGS <= known_settings()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_command_a_file_runs_exists(path: Path) -> None:
    known: Any = get_command(command_line)
    for verb in re.findall(r"(?:bin/|-- )perennial ([a-z-]+)", path.read_text()):
        assert verb in known.commands, verb


def test_compose_starts_what_there_is_in_order_and_as_nobody_special() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert set(services) == {"database", "migrate", "serve", "worker", "proxy"}
    for name in ("migrate", "serve", "worker"):
        assert services[name]["command"] == [name]
        assert services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"]
        assert "perennial_login" in services[name]["environment"]["DATABASE_URL"]  # not who owns the tables
    for name in ("serve", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert "PERENNIAL_MIGRATE_DATABASE_URL" not in services[name]["environment"]
    assert "ports" not in services["serve"] and "ports" not in services["database"]  # the proxy alone is reached from outside
    example = (DEPLOY / "perennial.env.example").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert wanted <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def test_the_image_runs_as_nobody_special_and_checks_itself() -> None:
    lines = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER perennial$", lines, re.MULTILINE) and "/healthz" in lines and "--require-hashes" in lines
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[0] == "**" and "!perennial" in kept and "!migrations" in kept  # secrets and data of a checkout stay out


def has_docker() -> bool:
    return shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_docker(), reason="no Docker daemon here: the image is not built")
def test_the_image_is_built_and_says_its_version() -> None:
    subprocess.run(["docker", "build", "--file", str(DEPLOY / "Dockerfile"), "--tag", "perennial:test", str(ROOT)], check=True)
    said = subprocess.run(["docker", "run", "--rm", "perennial:test", "--version"], check=True, capture_output=True, text=True)
    assert "perennial" in said.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here: the units are not verified")
@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir()))
def test_systemd_accepts_the_units(unit: str, tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/perennial/bin/perennial", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True)
    assert (said.returncode, said.stderr.strip()) == (0, "")


@pytest.mark.parametrize("unit", ["serve", "worker"])
def test_a_database_that_comes_up_late_keeps_no_unit_down(unit: str) -> None:
    """A unit that is required and fails takes those that wait for it along, for good: a reboot beside a database elsewhere would end so."""
    units = {name: (DEPLOY / "systemd" / f"perennial-{name}.service").read_text() for name in ("migrate", unit)}
    assert not re.search(r"^(Requires|Requisite|BindsTo)=.*perennial-migrate", units[unit], re.MULTILINE)
    assert re.search(r"^Wants=perennial-migrate\.service$", units[unit], re.MULTILINE)
    assert re.search(r"^After=.*perennial-migrate\.service", units[unit], re.MULTILINE)
    assert "Restart=always" in units[unit] and "Restart=on-failure" in units["migrate"]
    assert all("StartLimitIntervalSec=0" in text for text in units.values())


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("Caddyfile", r"^\s+keepalive (\d+)s$"),
        ("nginx.conf", r"upstream perennial \{[^}]*^\s+keepalive_timeout (\d+)s;"),
    ],
)
def test_a_proxy_gives_up_a_silent_connection_before_the_server_does(path: str, pattern: str) -> None:
    found = re.search(pattern, (DEPLOY / path).read_text(), re.MULTILINE)
    assert found is not None
    assert int(found[1]) * 1000 < HEAD_WITHIN


@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm here: the chart is not rendered")
def test_helm_renders_the_chart() -> None:
    chart = str(DEPLOY / "helm" / "perennial")
    subprocess.run(["helm", "lint", "--strict", chart], check=True, capture_output=True)
    rendered = subprocess.run(["helm", "template", "shop", chart, "--kube-version", "1.30.0"], check=True, capture_output=True, text=True)
    objects = [one for one in yaml.safe_load_all(rendered.stdout) if one]
    assert {one["kind"] for one in objects} == {"ConfigMap", "Job", "Deployment", "Service", "Ingress", "PodDisruptionBudget"}


def test_the_chart_s_templates_name_what_is_defined() -> None:
    chart = DEPLOY / "helm" / "perennial"
    texts = {path.name: path.read_text() for path in (chart / "templates").iterdir()}
    defined = set(re.findall(r'define "([^"]+)"', texts["_helpers.tpl"]))
    values = yaml.safe_load((chart / "values.yaml").read_text())
    for name, text in texts.items():
        assert set(re.findall(r'include "([^"]+)"', text)) <= defined, name
        assert text.count("{{") == text.count("}}"), name
        for path in re.findall(r"\.Values\.([A-Za-z.]+)", text):
            found: Any = values
            for part in path.split("."):
                assert part in found, (name, path)
                found = found[part]
    assert yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]


@pytest.mark.skipif(shutil.which("caddy") is None, reason="no caddy here: the Caddyfile is not validated")
def test_caddy_accepts_its_file(clean_environment: dict[str, str]) -> None:
    environment = {**clean_environment, "DOMAIN": "billing.example.com", "UPSTREAM": "127.0.0.1:1"}
    said = subprocess.run(
        ["caddy", "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")], env=environment, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx here: its file is not tested")
def test_nginx_accepts_its_file(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    _self_signed(key, certificate)
    text = (DEPLOY / "nginx.conf").read_text()
    text = text.replace("/etc/ssl/billing.example.com.pem", str(certificate)).replace("/etc/ssl/billing.example.com.key", str(key))
    whole = f"pid {tmp_path}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
    (tmp_path / "nginx.conf").write_text(whole)
    said = subprocess.run(["nginx", "-t", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def _self_signed(key_path: Path, certificate_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "billing.example.com")])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    certificate_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
