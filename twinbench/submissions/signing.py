"""Signatures by OpenSSH: with the keys that people have, checked by ``ssh-keygen -Y``."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from twinbench.display.wording import shorten
from twinbench.errors import TwinbenchError, UsageError
from twinbench.storage.temporary_folders import temporary_folder
from twinbench.submissions.report import SignatureFound

SIGNATURE_FILE = "submission.json.sig"
MOST_SIGNATURE_BYTES = 2**16

_NAMESPACE = "twinbench"
"""The purpose of the signatures: a signature that was made for another purpose is not valid here."""
_WITHIN_S = 120
_KEY = re.compile(r"(SHA256:[A-Za-z0-9+/=]{20,60})")


class SignatureError(ValueError):
    """Raised when a signature is not valid; the message is a sentence."""


def sign(manifest: bytes, key: Path) -> bytes:
    """Sign a manifest with an OpenSSH key; a key with a passphrase asks for it, or the agent.

    Args:
        manifest: the bytes of ``submission.json``.
        key: the private key, or the public one of a key that an agent holds.

    Raises:
        UsageError: ``ssh-keygen`` is missing, or does not sign with this key.
    """
    if not key.is_file():
        raise UsageError(f"--sign {key}: no such key")
    with temporary_folder() as folder:
        file = folder / "submission.json"
        file.write_bytes(manifest)
        ended = _run(["-Y", "sign", "-n", _NAMESPACE, "-f", str(key), str(file)], interactive=True)
        made = file.with_name(f"{file.name}.sig")
        if ended.returncode != 0 or not made.is_file():
            said = ended.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason was given"]
            raise UsageError(f"--sign {key}: ssh-keygen does not sign with it ({shorten(said[0], 200)})")
        return made.read_bytes()


def check_signature(manifest: bytes, signature: bytes, signers: Path | None) -> SignatureFound:
    """Check a signature.

    Args:
        manifest: the bytes of ``submission.json``.
        signature: the bytes of its signature.
        signers: the maintainer's file of allowed signers (``man ssh-keygen``, "ALLOWED SIGNERS"); None: only whether
            the signature is that of its key over this manifest.

    Raises:
        SignatureError: it does not hold.
        UsageError: ``ssh-keygen`` is missing.
    """
    with temporary_folder() as folder:
        file = folder / "signature"
        file.write_bytes(signature)
        checked = _run(["-Y", "check-novalidate", "-n", _NAMESPACE, "-s", str(file)], manifest)
        if checked.returncode != 0:
            raise SignatureError("the signature is not of this manifest")
        said = (checked.stdout + checked.stderr).decode("utf-8", "replace")
        key = found[1] if (found := _KEY.search(said)) else None
        if signers is None:
            return SignatureFound(signed=True, key=key)
        named = _run(["-Y", "find-principals", "-s", str(file), "-f", str(signers)])
        names = named.stdout.decode("utf-8", "replace").split()
        for name in names:
            verified = _run(
                ["-Y", "verify", "-n", _NAMESPACE, "-I", name, "-f", str(signers), "-s", str(file)], manifest
            )
            if verified.returncode == 0:
                return SignatureFound(signed=True, key=key, signer=shorten(name, 200))
        raise SignatureError(f"{signers} names nobody with the key {key}")


def _run(
    arguments: list[str], standard_input: bytes | None = None, *, interactive: bool = False
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise UsageError("signatures need ssh-keygen, of OpenSSH 8.1 or newer")
    try:
        return subprocess.run(  # noqa: S603 - OpenSSH's own program, with paths that we made
            [program, *arguments],
            input=standard_input,
            stdin=None if standard_input is not None or interactive else subprocess.DEVNULL,
            capture_output=True,
            timeout=_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TwinbenchError(f"ssh-keygen cannot be run ({error})") from None
