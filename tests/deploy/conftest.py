"""What an operator installs: the wheel, in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `perennial` of a wheel built from this checkout, installed where nothing of the checkout is found.

    What it depends on is taken from the environment the tests run in.
    """
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    for name in ("perennial", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    made = subprocess.run([sys.executable, "-c", build, str(folder)], cwd=source, check=True, capture_output=True, text=True)
    wheel = folder / made.stdout.strip().splitlines()[-1]
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    place = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, capture_output=True, text=True
    ).stdout.strip()
    shutil.unpack_archive(wheel, place, "zip")
    dependencies = Path(sysconfig.get_path("purelib"))
    beside = folder / "dependencies"  # without the file that points at this checkout
    beside.mkdir()
    for path in dependencies.iterdir():
        if path.suffix != ".pth" and not path.name.startswith("perennial"):
            (beside / path.name).symlink_to(path)
    (Path(place) / "dependencies.pth").write_text(f"{beside}\n")
    command = folder / "venv" / "bin" / "perennial"
    command.write_text(f"#!{python}\nimport sys\nfrom perennial.__main__ import main\nsys.exit(main())\n")
    command.chmod(0o755)
    return command


@pytest.fixture
def clean_environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of this shell's but the path, and a home folder that is empty."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
