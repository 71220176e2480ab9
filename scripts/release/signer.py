"""Who signs a release, and cosign.

Keyless, the signer is a workflow's identity, which Fulcio certifies and Rekor logs. By a key, where
neither is reached, nothing is logged: whoever verifies trusts the key alone.
"""

import json
import subprocess
import tomllib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supply.finding import ROOT
from supply.tools import tool

IDENTITY = ROOT / "deploy/release.toml"


class SignatureError(Exception):
    """An image that is not what the signer released."""


@dataclass(frozen=True)
class Key:
    """A key of cosign's: the private file signs (COSIGN_PASSWORD opens it), the public verifies."""

    file: Path

    def signing(self) -> list[str]:
        """Cosign's options to sign."""
        return ["--key", str(self.file), "--tlog-upload=false"]

    def verifying(self) -> list[str]:
        """Cosign's options to verify."""
        return ["--key", str(self.file), "--insecure-ignore-tlog=true"]


@dataclass(frozen=True)
class Workflow:
    """A workflow. `identity`: the whole of what its certificate says, as a regular expression."""

    identity: str
    issuer: str

    def signing(self) -> list[str]:
        """Cosign's options to sign: the workflow's own token is found by cosign."""
        return []

    def verifying(self) -> list[str]:
        """Cosign's options to verify."""
        return [
            *("--certificate-identity-regexp", f"^{self.identity}$"),
            *("--certificate-oidc-issuer", self.issuer),
        ]

    @classmethod
    def load(cls, path: Path = IDENTITY) -> "Workflow":
        """Whom `deploy/release.toml` names. Raises `SignatureError` while it names nobody."""
        try:
            told = tomllib.loads(path.read_text())
            identity, issuer = told["identity"], told["issuer"]
        except (OSError, ValueError, KeyError) as error:
            raise SignatureError(f"{path.name}: {error}") from error
        if not identity:
            raise SignatureError(
                f"{path.name} names no identity yet: whose releases are to be believed?"
            )
        return cls(identity, issuer)


Signer = Key | Workflow


def sign(reference: str, signer: Signer, boms: list[Path]) -> None:
    """Sign an image and attest its SBOMs. Raises `SignatureError`."""
    _cosign("sign", "--yes", *signer.signing(), reference)
    for bom in boms:
        _cosign(
            "attest",
            "--yes",
            *signer.signing(),
            "--type=cyclonedx",
            f"--predicate={bom}",
            reference,
        )


def verify(reference: str, signer: Signer) -> int:
    """Check an image's signature and SBOMs; how many components these name.

    Raises `SignatureError` where either is missing, altered or another's.
    """
    _cosign("verify", "--output=json", *signer.verifying(), reference)
    attested = _cosign("verify-attestation", *signer.verifying(), "--type=cyclonedx", reference)
    named = 0
    for line in attested.splitlines():
        named += len(_predicate(line).get("components", []))
    if not named:
        raise SignatureError(f"{reference}: its SBOM names nothing")
    return named


def _predicate(envelope: str) -> dict[str, Any]:
    statement = json.loads(b64decode(json.loads(envelope)["payload"]))
    return dict(statement["predicate"])


def _cosign(*arguments: str) -> str:
    done = subprocess.run([tool("cosign"), *arguments], capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise SignatureError(f"{arguments[-1]}: {said[-1].removeprefix('Error: ')}")
    return done.stdout
