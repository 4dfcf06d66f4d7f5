"""The demonstration, end to end, as a user runs it: real processes, real SMTP, real HTTP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUESTS = """\
srnumber,requesttype,createddate,servicedate,requestsource,owner,assignto,anonymous,address,zipcode,cd
1-1,Bulky Items,1/2/20 8:43,1/3/20 0:00,Call,BOS,WV,N,"16815 W VANOWEN ST, 91406",91406,6
1-1,<b>Graffiti</b>,soon,,Email,OCB,"101, IED",N,CALLE NIÑOS 1,,
,,,,,,,,,,
"""
FEATURES = ("schedule", "dependencies", "webhooks", "batches", "debounce", "rate limit", "fairness")


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.ticketing", "demo", "--retry-delay", "0.1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backend", ["memory", "embedded"])
def test_the_audit_holds(backend: str) -> None:
    result = demo("--backend", backend, "--count", "20", "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "AUDIT HOLDS" in result.stdout
    for feature in FEATURES:
        assert f"\n  {feature}: " in result.stdout


@pytest.mark.timeout(120)
def test_odd_requests_from_a_file_run_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text(REQUESTS, encoding="utf-8")
    result = demo("--backend", "memory", "--requests", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 service requests read" in result.stdout
    assert "AUDIT HOLDS" in result.stdout


def test_an_unreadable_file_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    result = demo("--requests", str(path))
    assert result.returncode == 2
    assert "srnumber" in result.stdout
