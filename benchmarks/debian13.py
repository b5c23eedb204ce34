"""The fast tests on the next Debian and its Python, in a container without network: ``make acceptance PART=debian-13``.

mmdebstrap makes Debian 13, once; uv fetches the locked packages for that Python on this machine; the checkout as it was
committed is installed beside them and tested. No engine is there, so the tests that need one are not run.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.evidence import ROOT

WHAT = "the fast tests on Debian 13 and its Python 3.13, in a container without network"
RELEASE = "trixie"
PYTHON = "3.13"
IMAGE = "twinbench-debian13:latest"
MIRROR = "http://deb.debian.org/debian"

_PACKAGES = ("ca-certificates", "git", "make", "procps", "python3", "python3-venv")
_INSIDE = """
set -e
mkdir /twinbench && tar -x -C /twinbench && cd /twinbench
python3 -m venv .venv
. .venv/bin/activate
cp -r /packages /site  # where what is compiled is kept
echo /site >"$(python -c 'import site; print(site.getsitepackages()[0])')/packages.pth"
python -m pip --quiet --disable-pip-version-check install --no-index --no-deps --no-build-isolation --editable .
echo "evidence: $(. /etc/os-release; echo $PRETTY_NAME), $(python --version)"
exec python -m pytest -q -n 2 --dist worksteal -m 'not acceptance and not docker and not slow'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the image where it is missing, fetch what is locked, and run the tests."""
    parser = argparse.ArgumentParser("python -m benchmarks.debian13", description=WHAT)
    parser.add_argument("--mirror", default=MIRROR, help="where Debian's packages come from")
    asked = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="twinbench-") as folder:
            _make_image(asked.mirror, Path(folder) / "debian.tar")
            packages = Path(folder) / "packages"
            _fetch(packages)
            return _run_tests(packages)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _make_image(mirror: str, archive: Path) -> None:
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0:
        return
    print(f"making {IMAGE} from {mirror} …", flush=True)
    packages = f"--include={','.join(_PACKAGES)}"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, RELEASE, archive, mirror], check=True)
    subprocess.run(["docker", "import", "--message", WHAT, archive, IMAGE], check=True, stdout=subprocess.DEVNULL)


def _fetch(folder: Path) -> None:
    print("fetching what is locked …", flush=True)
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    target = [f"--python-version={PYTHON}", f"--python-platform={platform.machine()}-manylinux_2_28"]
    lock = ["--require-hashes", "-r", str(ROOT / "requirements.lock")]
    subprocess.run([*uv, *target, f"--target={folder}", *lock], check=True)


def _run_tests(packages: Path) -> int:
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    command = ["docker", "run", "--rm", "--interactive", "--network=none", f"--volume={packages}:/packages:ro", IMAGE]
    return subprocess.run([*command, "bash", "-c", _INSIDE], input=archive, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
