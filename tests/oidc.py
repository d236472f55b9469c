"""People who sign in at an OpenID provider through oauth2-proxy: real programs, set up as docs/server.md says.

    with Provider(cluster, folder, people) as provider, Proxy(provider, address, folder) as proxy:
        ann = provider.browser()
        ann.sign_in(proxy.address, people[0])
        ann.get(f"{proxy.address}/api/v1/me")

The provider asks for a password and keeps its own session, like those that people use. It listens on the host's end of
the cluster's cable, because the API server fetches its keys.
"""

import contextlib
import json
import re
import secrets
import shlex
import signal
import ssl
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import yaml
from lxml import html

from tests.cluster import builds, paths
from tests.cluster.local import LocalCluster
from tests.cluster.pki import Pki
from tests.cluster.waiting import wait_for
from tests.ports import free_port

Raw = dict[str, Any]
PAGE = (paths.CHECKOUT / "docs/server.md").read_text()
ISSUER, ADDRESS, UPSTREAM = (
    "https://sso.example.com",
    "https://assay.example.com",
    "http://assay-server.assay-system.svc",
)
#: A client of the provider that has nothing to do with Assay.
OTHER_CLIENT = "another-application"
#: Options of the page that oauth2-proxy knows in its configuration file too, and in no other way beside one.
_CORE = ("--redirect-url", "--email-domain", "--api-route", "--skip-jwt-bearer-tokens", "--cookie-refresh",
         "--cookie-expire")  # fmt: skip
_SECRET, _CALLBACK = "of-the-client", "/oauth2/callback"


@dataclass(frozen=True)
class Person:
    """Somebody with an account at the provider. ``seconds`` is the life of their ID tokens, 0 for the usual one.

    The account has a name of its own: people can write any ``email`` into their profile.
    """

    email: str
    groups: tuple[str, ...] = ()
    verified: bool = True
    seconds: int = 0
    account: str = field(default_factory=secrets.token_urlsafe)
    password: str = field(default_factory=secrets.token_urlsafe)

    @property
    def form(self) -> dict[str, str]:
        """What the person fills in at the provider."""
        return {"account": self.account, "password": self.password}

    @property
    def user(self) -> str:
        """The name in the cluster, with the prefix of the page's AuthenticationConfiguration."""
        return f"oidc:{self.email}"


def documented(language: str, contains: str) -> str:
    """Return the one block of docs/server.md in a language that contains a text."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = [textwrap.dedent(text) for _, text in blocks if contains in text]
    return found


def authentication(issuer: str, authority: str) -> Raw:
    """Return the page's AuthenticationConfiguration for an issuer with an authority of its own."""
    found: Raw = yaml.safe_load(documented("yaml", "kind: AuthenticationConfiguration"))
    (jwt,) = found["jwt"]
    assert jwt["issuer"]["url"] == ISSUER
    jwt["issuer"] |= {"url": issuer, "certificateAuthority": authority}
    return found


def chart_values() -> Raw:
    """Return the page's values of the chart."""
    found: Raw = yaml.safe_load(documented("yaml", "signOut:"))
    return found


def proxy_options() -> dict[str, str]:
    """Return the page's options of oauth2-proxy; an option without a value has ""."""
    program, *words = shlex.split(documented("sh", "oauth2-proxy --provider").replace("\\\n", " "))
    assert program == "oauth2-proxy"
    return {name: value for name, _, value in (word.partition("=") for word in words)}


class _Program:
    """A process with a log, for as long as the context lasts."""

    def __init__(self, log: Path) -> None:
        self._file = log
        self._life = contextlib.ExitStack()

    @property
    def log(self) -> str:
        """What the process has said."""
        return self._file.read_text(errors="replace")

    @contextlib.contextmanager
    def _running(self, argv: list[str], ready: str, trust: ssl.SSLContext, **options: Any) -> Iterator[None]:
        with self._file.open("wb") as output:
            process = subprocess.Popen(argv, stdout=output, stderr=output, stdin=subprocess.PIPE, **options)
        try:
            assert process.stdin
            process.stdin.write(self._given())
            process.stdin.close()
            answers = httpx.Client(verify=trust, trust_env=False)
            wait_for(f"{argv[0]} to answer", lambda: answers.get(ready).is_success, saw=lambda: self.log[-2000:])
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _given(self) -> bytes:
        """Return what the process reads."""
        return b""

    def __exit__(self, *_: object) -> None:
        self._life.close()


class Provider(_Program):
    """An OpenID provider, whose ID tokens the cluster accepts."""

    def __init__(self, cluster: LocalCluster, folder: Path, *people: Person) -> None:
        super().__init__(folder / "provider.log")
        self._cluster, self._people = cluster, people
        self.host = f"{cluster.spec.subnets.host}:{free_port()}"
        self.issuer = f"https://{self.host}/oidc"
        self.client = proxy_options()["--client-id"]
        self.pki = Pki(folder / "oidc-pki")

    @property
    def trust(self) -> ssl.SSLContext:
        """What a browser trusts that knows the authority of provider and proxies."""
        return ssl.create_default_context(cafile=str(self.pki.certificate("ca")))

    def __enter__(self) -> "Provider":
        self.pki.create_authority()
        self.pki.issue("provider", "provider", addresses=(f"IP:{self._cluster.spec.subnets.host}",))
        self.pki.issue("proxy", "proxy", addresses=("IP:127.0.0.1",))
        ready = f"{self.issuer}/.well-known/openid-configuration"
        with contextlib.ExitStack() as life:
            life.enter_context(self._running([str(builds.oidc_provider())], ready, self.trust))
            self._cluster.authenticate(authentication(self.issuer, self.pki.certificate("ca").read_text()))
            life.callback(self._cluster.authenticate)
            self._life = life.pop_all()
        return self

    def _given(self) -> bytes:
        people = [
            {
                "subject": f"subject-of-{person.account}",
                "email": person.email,
                "emailVerified": person.verified,
                "groups": list(person.groups),
                "seconds": person.seconds,
                **person.form,
            }
            for person in self._people
        ]
        files = {"certificate": str(self.pki.certificate("provider")), "key": str(self.pki.key("provider"))}
        clients = {"clients": [self.client, OTHER_CLIENT], "secret": _SECRET}
        return json.dumps({"address": self.host, **files, **clients, "people": people}).encode()

    def browser(self) -> "Browser":
        """A browser with no cookies."""
        return Browser(verify=self.trust, trust_env=False, follow_redirects=True, timeout=30)

    def id_token(self, person: Person, client_id: str = "") -> str:
        """Return an ID token of a person, as a program on their machine gets it, by default for the proxy's client."""
        back = f"https://127.0.0.1{_CALLBACK}"
        client = {"client_id": client_id or self.client, "redirect_uri": back}
        asked = client | {"scope": "openid email groups", "state": "s", "response_type": "code"}
        with self.browser() as browser:
            browser.follow_redirects = False
            form = browser.get(f"{self.issuer}/authorize", params=asked)
            known = browser.post(str(form.url), data=person.form)
            granted = browser.get(f"https://{self.host}{known.headers['location']}")
            (code,) = parse_qs(urlsplit(granted.headers["location"]).query)["code"]
            wanted = client | {"client_secret": _SECRET, "grant_type": "authorization_code", "code": code}
            answer = browser.post(f"{self.issuer}/token", data=wanted)
        return str(answer.json()["id_token"])


class Proxy(_Program):
    """oauth2-proxy with the options of the page, in front of an application. It ends TLS as an ingress would."""

    def __init__(
        self, provider: Provider, upstream: str, folder: Path, *, token_header: str = "", **changed: str
    ) -> None:
        """``changed`` are options that differ from those of the page, with underscores.

        With ``token_header``, the token is passed in that header, as the page says.
        """
        port = free_port()
        self._folder, self._token_header = folder, token_header
        super().__init__(folder / f"proxy-{port}.log")
        self._provider, self.address = provider, f"https://127.0.0.1:{port}"
        options = proxy_options()
        assert (options["--oidc-issuer-url"], options["--upstream"]) == (ISSUER, UPSTREAM)
        assert options["--redirect-url"] == ADDRESS + _CALLBACK
        self._options = options | {
            "--oidc-issuer-url": provider.issuer,
            "--redirect-url": self.address + _CALLBACK,
            "--upstream": upstream,
            "--provider-ca-file": str(provider.pki.certificate("ca")),
            "--https-address": f"127.0.0.1:{port}",
            "--tls-cert-file": str(provider.pki.certificate("proxy")),
            "--tls-key-file": str(provider.pki.key("proxy")),
            **{f"--{name.replace('_', '-')}": value for name, value in changed.items()},
        }

    def __enter__(self) -> "Proxy":
        words = [f"{name}={value}" if value else name for name, value in self._options.items()]
        variables = {"OAUTH2_PROXY_CLIENT_SECRET": _SECRET, "OAUTH2_PROXY_COOKIE_SECRET": secrets.token_hex(16)}
        with contextlib.ExitStack() as life:
            program = str(builds.oauth2_proxy())
            argv = [program, *words]
            if self._token_header:
                argv = [program, *self._with_another_header(argv, variables)]
            life.enter_context(self._running(argv, f"{self.address}/ping", self._provider.trust, env=variables))
            self._life = life.pop_all()
        return self

    def _with_another_header(self, argv: list[str], variables: dict[str, str]) -> list[str]:
        """Return the options for the same, but for the header that has the token."""
        text = subprocess.run(
            [*argv, "--convert-config-to-alpha"], env=variables, stdout=subprocess.PIPE, check=True, timeout=30
        ).stdout
        (header,) = yaml.safe_load(documented("yaml", "injectRequestHeaders"))["injectRequestHeaders"]
        assert header["name"] == self._token_header
        config: Raw = yaml.safe_load(text)
        others = [each for each in config["injectRequestHeaders"] if each["name"] != "Authorization"]
        config["injectRequestHeaders"] = [*others, header]
        file = self._folder / "oauth2-proxy.yaml"
        file.write_text(yaml.safe_dump(config))
        return [f"--alpha-config={file}", *(word for word in argv[1:] if word.partition("=")[0] in _CORE)]


class Browser(httpx.Client):
    """Keeps cookies, follows redirects, and says where its requests come from."""

    def sign_in(self, address: str, person: Person) -> httpx.Response:
        """Open a page, press the proxy's button, fill in the provider's form if there is one; return where it leads."""
        found = self.page(address)
        (form,) = html.fromstring(found.text).xpath("//form[contains(@action, '/oauth2/start')]")
        found = self.page(str(found.url.join(form.get("action")).copy_merge_params(dict(form.form_values()))))
        if 'name="password"' not in found.text:
            return found
        return self.post(str(found.url), data=person.form, headers={"Accept": "text/html"})

    def page(self, address: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Open a page."""
        return self.get(address, headers={"Accept": "text/html", **(headers or {})})

    def submit(self, address: str, fields: Mapping[str, str]) -> httpx.Response:
        """Send a form of a page of the same site."""
        parts = urlsplit(address)
        headers = {"Accept": "text/html", "Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
        return self.post(address, data=dict(fields), headers=headers)
