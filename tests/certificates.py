"""Certificates for servers and clients in tests, made with the openssl command."""

import shutil
import subprocess
from pathlib import Path

import pytest


def certificates(folder: Path) -> Path:
    """An authority, a stranger, and from the authority a server's certificate and a client's.

    Of each NAME.key is its key; of the latter two NAME.crt is the certificate, and NAME.pem both: what a grid calls a
    proxy. locked.key is the client's with a passphrase, locked.pem that and its certificate.
    """
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed: no test certificates can be made")

    def openssl(*arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)

    def key_and(name: str, *arguments: object) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", f"{name}.key")
        openssl("req", *key, "-subj", f"/CN={name}", *arguments)

    for authority in ("authority", "stranger"):
        key_and(authority, "-x509", "-days", 2, "-out", f"{authority}.pem")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        key_and(name, "-new", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier=keyid\n")
        signed = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", f"{name}.ext")
        openssl("x509", "-req", "-days", 2, "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)
        (folder / f"{name}.pem").write_bytes(
            (folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes()
        )
    openssl("pkey", "-in", "client.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    (folder / "locked.pem").write_bytes((folder / "client.crt").read_bytes() + (folder / "locked.key").read_bytes())
    return folder
