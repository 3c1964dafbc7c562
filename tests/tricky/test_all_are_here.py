"""The list of tricky cases is whole: each has a test by its number, and one."""

import re
from pathlib import Path

CASES = range(1, 57)


def test_every_case_has_its_test() -> None:
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    numbers = [int(number) for file in files for number in re.findall(r"^(?:async )?def test_case_(\d\d)_\w+\(", file.read_text(), re.MULTILINE)]
    assert sorted(numbers) == list(CASES)
