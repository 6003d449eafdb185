"""A throw-away certificate authority with a server and a client certificate."""

from __future__ import annotations

from pathlib import Path

from t.services.programs import call

#: Common name of the client certificate.
CLIENT_NAME = "test-client"


def make_tls(directory):
    """A throw-away CA, a server and a client certificate (openssl)."""
    d = Path(directory)
    d.mkdir(parents=True, exist_ok=True)
    ca, ca_key = d / "ca.pem", d / "ca.key"
    call(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test-services CA",
            "-keyout",
            ca_key,
            "-out",
            ca,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ]
    )
    for who, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        key, csr, crt, ext = (d / f"{who}.{x}" for x in ("key", "csr", "pem", "ext"))
        ext.write_text(
            "basicConstraints=CA:FALSE\n"
            "keyUsage=digitalSignature,keyEncipherment\n"
            f"extendedKeyUsage={usage}\n"
            "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
        )
        call(
            [
                "openssl",
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                f"/CN={'localhost' if who == 'server' else CLIENT_NAME}",
                "-keyout",
                key,
                "-out",
                csr,
            ]
        )
        call(
            [
                "openssl",
                "x509",
                "-req",
                "-in",
                csr,
                "-CA",
                ca,
                "-CAkey",
                ca_key,
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                ext,
                "-out",
                crt,
            ]
        )
        key.chmod(0o644)
    return {
        "ca": str(ca),
        "cert": str(d / "server.pem"),
        "key": str(d / "server.key"),
        "client_cert": str(d / "client.pem"),
        "client_key": str(d / "client.key"),
    }
