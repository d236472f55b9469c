"""Certificates of one cluster: a CA of its own, made by the openssl program, valid for some days.

The keys lie in the cluster's folder and vanish with it. Nothing here is a model for production.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import run

DAYS = "30"


@dataclass(frozen=True)
class Pki:
    """Certificates and keys below `folder`: <name>.crt and <name>.key, in PEM."""

    folder: Path

    def create_authority(self) -> None:
        """Make the CA, and the key pair that signs service-account tokens."""
        self.folder.mkdir(parents=True, mode=0o700)
        self._key("ca")
        run(
            *("openssl", "req", "-x509", "-new", "-sha256", "-days", DAYS, "-subj", "/CN=assay-cluster"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"),
            *("-key", self.key("ca"), "-out", self.certificate("ca")),
        )
        self._key("service-accounts")
        run("openssl", "pkey", "-in", self.key("service-accounts"), "-pubout", "-out", self.service_accounts)

    def issue(self, name: str, user: str, group: str = "", addresses: tuple[str, ...] = ()) -> None:
        """Make <name>.crt for `user` in `group`; with `addresses` (IP:… or DNS:…) it also serves."""
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        usage = "clientAuth,serverAuth" if addresses else "clientAuth"
        extensions = [f"extendedKeyUsage={usage}", "keyUsage=critical,digitalSignature"]
        if addresses:
            extensions.append("subjectAltName=" + ",".join(addresses))
        extra = [word for extension in extensions for word in ("-addext", extension)]
        self._key(name)
        request = self.folder / f"{name}.csr"
        run("openssl", "req", "-new", "-subj", subject, *extra, "-key", self.key(name), "-out", request)
        run(
            *("openssl", "x509", "-req", "-sha256", "-days", DAYS, "-copy_extensions", "copyall"),
            *("-CA", self.certificate("ca"), "-CAkey", self.key("ca"), "-CAcreateserial"),
            *("-in", request, "-out", self.certificate(name)),
        )

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    @property
    def service_accounts(self) -> Path:
        """The public key that verifies service-account tokens."""
        return self.folder / "service-accounts.pub"

    def _key(self, name: str) -> None:
        run(
            *("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-out", self.key(name)),
        )
