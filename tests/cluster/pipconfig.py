"""What pip needs inside a build to reach the package index that the host uses: two files, as build secrets.

Reads pip's configuration files and variables and the host's CA bundle, and writes `pip.conf` and `ca.pem`
for `--secret`, which a build mounts for single commands. They may hold passwords: they go into a private
folder that the caller deletes, never into a layer or an image's environment.
"""

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

# Where packages come from and how they are fetched; nothing else of a host's pip concerns a build.
OPTIONS = ("index-url", "extra-index-url", "find-links", "trusted-host", "no-index", "proxy", "timeout")
CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CA_DEFAULTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
MOUNTED = "/run/secrets"


def secret_options(folder: Path, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Write both files into `folder`; return the build's `--secret` options, then `--volume` ones.

    A volume is there for each local folder of wheels that pip is told to look into.
    """
    folder.chmod(0o700)
    found = host_options(environment)
    links = [link.removeprefix("file://") for link in found.get("find-links", "").split()]
    links = [link for link in links if _usable(link)]
    found["find-links"] = "\n    ".join(links)
    bundle = ca_bundle(environment, found)
    options = []
    if bundle:
        (folder / "ca.pem").write_bytes(bundle.read_bytes())
        found["cert"] = f"{MOUNTED}/ca.pem"
        options += ["--secret", f"id=ca.pem,src={folder / 'ca.pem'}"]
    lines = [f"{name} = {value}" for name, value in found.items() if value]
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    options += ["--secret", f"id=pip.conf,src={folder / 'pip.conf'}"]
    for link in links:
        options += ["--volume", f"{link}:{link}:ro"] if Path(link).is_dir() else []
    return options


def host_options(environment: Mapping[str, str]) -> dict[str, str]:
    """The host's pip options that matter, later sources over earlier ones, as pip ranks them."""
    home = Path(environment.get("HOME", "/"))
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    parser = configparser.RawConfigParser(strict=False)
    own = environment.get("PIP_CONFIG_FILE", "")
    files = ["/etc/pip.conf", home / ".pip" / "pip.conf", config_home / "pip" / "pip.conf", own]
    parser.read([str(file) for file in files if file])
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    for variable, value in environment.items():
        if variable.startswith("PIP_"):
            found[variable.removeprefix("PIP_").lower().replace("_", "-")] = value
    found.setdefault("timeout", found.get("default-timeout", ""))
    return {name: value for name, value in found.items() if name in (*OPTIONS, "cert") and value}


def ca_bundle(environment: Mapping[str, str], options: Mapping[str, str]) -> Path | None:
    """The file with the certificates that the host trusts, if it has one."""
    named = [options.get("cert", ""), *(environment.get(name, "") for name in CA_VARIABLES)]
    return next((Path(path) for path in [*named, *CA_DEFAULTS] if path and Path(path).is_file()), None)


def _usable(link: str) -> bool:
    """Whether a build can use it: a URL, or a folder that has something in it."""
    return not link.startswith("/") or (Path(link).is_dir() and any(Path(link).iterdir()))
