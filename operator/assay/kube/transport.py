"""The connections to an API server: TLS, client certificates and proxies, as kubectl uses them."""

import ipaddress
import os
import ssl
import tempfile
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from assay.api.errors import InvalidRequest
from assay.kube import kubeconfig
from assay.kube.kubeconfig import Target
from assay.kube.login import Certificate


def connections(target: Target, certificate: Certificate | None, size: int = 10) -> urllib3.PoolManager:
    """Return the connections to a cluster, with a client certificate if there is one. Raises InvalidRequest."""
    options: dict[str, Any] = {"maxsize": size}
    if target.server.startswith("https:"):
        options |= {"ssl_context": _context(target, certificate)}
        name = target.cluster.get("tls-server-name")
        options |= {"server_hostname": name, "assert_hostname": name} if name else {}
    proxy = str(target.cluster.get("proxy-url") or "") or _environment_proxy(target.server)
    if not proxy:
        return urllib3.PoolManager(**options)
    scheme = proxy.partition("://")[0]
    if scheme.startswith("socks5"):
        return _socks(proxy, options)
    if scheme not in ("http", "https"):
        raise InvalidRequest(
            f"cannot use the proxy {_plain(proxy)}", hint="a proxy's address begins with http, https or socks5"
        )
    user = urlsplit(proxy)
    headers = urllib3.make_headers(proxy_basic_auth=f"{user.username}:{user.password or ''}") if user.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)


def _socks(proxy: str, options: dict[str, Any]) -> urllib3.PoolManager:
    try:
        from urllib3.contrib.socks import SOCKSProxyManager
    except ImportError:
        hint = "install PySocks: pip install pysocks"
        raise InvalidRequest(f"cannot use the proxy {_plain(proxy)}", hint=hint) from None
    # Like kubectl, the proxy resolves the name of the API server.
    address = proxy.replace("socks5://", "socks5h://", 1)
    return SOCKSProxyManager(address, **options)


def _plain(proxy: str) -> str:
    """Return a proxy's address without its user and password."""
    scheme, slashes, rest = proxy.rpartition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


def _context(target: Target, certificate: Certificate | None) -> ssl.SSLContext:
    authority = kubeconfig.data(target.cluster, "certificate-authority")
    try:
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidRequest(f"cannot use the certificate-authority of the kubeconfig: {error}") from None
    # kubectl accepts authorities without the extensions that Python 3.13 demands. Some managed clusters have such ones.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if target.cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)
    if certificate:
        _present(context, certificate)
    return context


def _present(context: ssl.SSLContext, certificate: Certificate) -> None:
    """Load a client certificate. The ssl module reads it only from files."""
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:  # mode 0700
        pair = Path(folder) / "pair.pem"
        pair.write_bytes(certificate.certificate + b"\n" + certificate.key)
        try:
            context.load_cert_chain(pair)
        except (ssl.SSLError, ValueError) as error:
            raise InvalidRequest(f"cannot use the client certificate of the kubeconfig: {error}") from None


def _environment_proxy(server: str) -> str:
    """Return the proxy that the environment names for a server; "" for none. Loopback addresses never use one."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return ""
    known = getproxies()
    if proxy_bypass(f"{host}:{parts.port}" if parts.port else host) or (address and _in_no_proxy(address)):
        return ""
    found = known.get(parts.scheme, "")
    return found if not found or "://" in found else f"http://{found}"


def _in_no_proxy(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    for part in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(","):
        try:
            if address in ipaddress.ip_network(part.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
