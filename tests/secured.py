"""A Kafka and an Elasticsearch with their doors locked, for the tests that need them: TLS under a CA of their own, users, rights.

Each is started once per run, by the first test that asks for it, and ends with the run.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from elasticsearch import Elasticsearch as Client

from infra import download, java, ports, processes
from infra import elasticsearch as node
from infra import kafka as broker
from infra.account import Account, unprivileged
from infra.java import Jdk
from infra.processes import Process
from tailrace import kafka, search
from tailrace.errors import TailraceError
from tailrace.kafka_access import Grant
from tailrace.settings import Elasticsearch, Kafka

READY_S = 240.0
"""Most that a server may take to answer, on a machine with far more work than cores."""
ADMIN = "admin"

_SASL_SSL = {
    "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "SASL_SSL",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": f"User:{ADMIN};User:ANONYMOUS",  # anonymous is nobody but the broker on its controller's plain listener
    "allow.everyone.if.no.acl.found": "false",
}


def password_of(user: str) -> str:
    """Of each user that these servers know; nothing else contains it, so that a test can look for it in what was printed."""
    return f"the-secret-of-{user}"


class Certificates(NamedTuple):
    ca: Path
    """Certificate of the authority: what clients must be given."""
    key: Path
    certificate: Path
    """Of a server at 127.0.0.1."""


def certify(folder: Path) -> Certificates:
    """A new authority, and a certificate of a server that it has signed."""
    made = Certificates(folder / "ca.crt", folder / "server.key", folder / "server.crt")
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = ["-subj", "/CN=Tailrace test CA", "-keyout", folder / "ca.key", "-out", made.ca]
    server = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    signed = ["-CA", made.ca, "-CAkey", folder / "ca.key", "-keyout", made.key, "-out", made.certificate]
    for words in (authority, [*server, *signed]):
        subprocess.run([*request, *words], check=True, capture_output=True, timeout=30)
    return made


class Programs(NamedTuple):
    """What a server of one's own is started with."""

    jdk: Jdk
    found: download.Programs
    account: Account | None
    folder: Path


@contextmanager
def programs() -> Iterator[Programs]:
    """Java, both servers' programs and a folder that their account can enter. Skips the test, loudly, where they cannot be had."""
    if shutil.which("openssl") is None:
        pytest.skip("no secured servers: openssl is not installed")
    account = unprivileged()
    try:
        jdk = java.find(account)
        found = download.fetch(download.cache_folder(account), account, lambda _: None)
    except TailraceError as error:
        pytest.skip(f"no secured servers: {error.format_message()}")
    folder = Path(tempfile.mkdtemp(prefix="tailrace-secured-"))
    folder.chmod(0o755)  # the account that servers run under has to pass
    try:
        yield Programs(jdk, found, account, folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def running(process: Process, connect: Callable[[], object]) -> Iterator[None]:
    """Wait until `connect` succeeds; stop the process at the end. Fails with the end of its log."""
    try:
        try:
            connect()
        except TailraceError as error:
            pytest.fail(f"{error.format_message()} {processes.tail(Path(process.log))}", pytrace=False)
        yield
    finally:
        processes.stop([process])


class SecuredKafka:
    """A broker with TLS, SASL/SCRAM-SHA-512 and the StandardAuthorizer: who is not allowed is refused."""

    def __init__(self, bootstrap_servers: str, ca: Path, jars: Path, jdk: Jdk) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.ca = ca
        self.jars = jars
        self.jdk = jdk
        self.admin: AdminClient
        """May do everything."""

    def settings(self, user: str = ADMIN, topic_prefix: str = "") -> Kafka:
        """What a user connects with."""
        return Kafka(
            bootstrap_servers=self.bootstrap_servers,
            topic_prefix=topic_prefix,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=user,
            sasl_password=password_of(user),
            ssl_ca_location=str(self.ca),
        )

    def connect(self) -> None:
        self.admin = kafka.connect(self.settings(), READY_S)

    def add_user(self, name: str) -> None:
        """A user with `password_of(name)` and no rights yet."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(name, info, password_of(name).encode())
        self.admin.alter_user_scram_credentials([change])[name].result(timeout=20)

    def allow(self, user: str, grants: Iterable[Grant]) -> None:
        for future in self.admin.create_acls([acl for grant in grants for acl in _acls(user, grant)]).values():
            future.result(timeout=20)

    def forbid(self, user: str, grants: Iterable[Grant]) -> None:
        """Take back what `allow` gave."""
        for future in self.admin.delete_acls([acl for grant in grants for acl in _acls(user, grant, AclBindingFilter)]).values():
            future.result(timeout=20)


def _acls(user: str, grant: Grant, kind: type = AclBinding) -> Iterator[Any]:
    resource, pattern = (
        ResourceType[grant.resource.upper().replace("-", "_")],
        ResourcePatternType["PREFIXED" if grant.prefixed else "LITERAL"],
    )
    for name in grant.names:
        for operation in grant.operations:
            yield kind(resource, name, pattern, f"User:{user}", "*", AclOperation[operation.upper()], AclPermissionType.ALLOW)


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[SecuredKafka]:
    """A broker whose users and rights the test makes: names of users and topics must be the test's own, as with `settings`."""
    with programs() as have:
        port, controller_port = ports.free(2)
        certificates = certify(have.folder)
        store = have.folder / "server.pem"
        store.write_text("".join(each.read_text() for each in (certificates.key, certificates.certificate, certificates.ca)))
        address = f"{ports.HOST}:{port}"
        login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{ADMIN}" password="{password_of(ADMIN)}";'
        settings = _SASL_SSL | {
            "listeners": f"SASL_SSL://{address},CONTROLLER://{ports.HOST}:{controller_port}",
            "advertised.listeners": f"SASL_SSL://{address}",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": login,
            "ssl.keystore.location": str(store),
            "ssl.truststore.location": str(certificates.ca),
        }
        one = broker.Broker(port, controller_port, "320m", settings, {ADMIN: password_of(ADMIN)})
        folder = have.folder / "kafka"
        process = broker.start(one, have.found.kafka, have.jdk, folder, have.account, tied=True)
        found = SecuredKafka(address, certificates.ca, have.found.kafka, have.jdk)
        with running(process, found.connect):
            yield found


class SecuredElasticsearch:
    """A node with TLS and security: users by password, API keys, roles."""

    def __init__(self, url: str, ca: Path) -> None:
        self.url = url
        self.ca = ca
        self.admin: Client
        """May do everything."""

    def settings(self, user: str = ADMIN, index_prefix: str = "") -> Elasticsearch:
        """What a user connects with."""
        return Elasticsearch(url=self.url, username=user, password=password_of(user), ca_certs=str(self.ca), index_prefix=index_prefix)

    def connect(self) -> None:
        self.admin = search.connect(self.settings(), READY_S)
        self.admin.cluster.health(wait_for_status="yellow")

    def add_user(self, name: str, role: Mapping[str, Any]) -> None:
        """A user with `password_of(name)` and a role of the same name; or another role for one that is there."""
        self.admin.security.put_role(name=name, **role)
        self.admin.security.put_user(username=name, password=password_of(name), roles=[name])

    def add_key(self, name: str, role: Mapping[str, Any]) -> str:
        """An API key that may do what the role may."""
        made: str = self.admin.security.create_api_key(name=name, role_descriptors={name: dict(role)})["encoded"]
        return made


@pytest.fixture(scope="session")
def secured_elasticsearch() -> Iterator[SecuredElasticsearch]:
    """A node whose users and roles the test makes: names of users and indices must be the test's own, as with `settings`."""
    with programs() as have:
        port, transport_port = ports.free(2)
        certificates = certify(have.folder)
        settings = {
            "xpack.security.enabled": "true",
            "xpack.security.http.ssl.enabled": "true",
            "xpack.security.http.ssl.key": certificates.key.name,
            "xpack.security.http.ssl.certificate": certificates.certificate.name,
            "xpack.security.authc.realms.file.file1.order": "0",
            "xpack.security.authc.realms.native.native1.order": "1",
        }
        files = {each.name: each.read_text() for each in (certificates.key, certificates.certificate)}
        files |= {"users": f"{ADMIN}:{_hashed(password_of(ADMIN))}\n", "users_roles": f"superuser:{ADMIN}\n"}
        one = node.Node(port, transport_port, "512m", settings, files)
        folder = have.folder / "elasticsearch"
        process = node.start(one, have.found.elasticsearch, have.jdk, folder, have.account, tied=True)
        found = SecuredElasticsearch(f"https://{ports.HOST}:{port}", certificates.ca)
        with running(process, found.connect):
            yield found
            found.admin.close()


def _hashed(password: str) -> str:
    """As the file realm keeps it."""
    salt, rounds = os.urandom(32), 10_000
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, 32)
    return f"{{PBKDF2}}{rounds}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"
