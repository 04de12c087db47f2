"""Who is let in: every kind of wrong certificate against both ports, by a real TLS client."""

import base64
import re
import socket
import struct
import subprocess
import threading

import nbd

from claims import ClaimFailed
from layout import GROUP, SITES, Layout
from trio import Trio

#: Transports tell refusals without a certificate at this level.
LOG = {"TREFOIL_LOG": "info,trefoil_transports=debug"}
NBD_HELLO = struct.pack(">I", 3)
STARTTLS = b"IHAVEOPT" + struct.pack(">II", 5, 0)
PAST, SOON, FAR = "20200101000000Z", "20400101000000Z", "20490101000000Z"

#: Reason as counted -> words that the daemon's log must have.
WORDS = {
    "missing": "no certificate was shown",
    "wrong_authority": "not signed by this deployment's authority",
    "expired": "has expired",
    "not_yet_valid": "is not valid yet",
    "wrong_name": "is that of site z, and only",
    "wrong_kind": "is expected",
    "removed": "not among the accepted ones",
    "protocol": "speaks no TLS 1.3",
}


def openssl(directory, *words):
    """Runs openssl to its end; it must do well."""
    done = subprocess.run(["openssl", *words], cwd=directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClaimFailed(f"openssl {' '.join(words)}: {done.stderr}")


def forge(directory, name, uri, start, end):
    """A certificate of the trio's own authority that `trefoil certs` would not make."""
    config = directory / "forge.cnf"
    config.write_text(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nnew_certs_dir = .\npolicy = p\n"
        "rand_serial = yes\nunique_subject = no\ndefault_md = sha256\n[p]\ncommonName = supplied\n"
        "[x]\nkeyUsage = digitalSignature\nextendedKeyUsage = serverAuth,clientAuth\n"
        f"subjectAltName = URI:{uri}\n"
    )
    (directory / "index.txt").touch()
    request = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
    openssl(directory, "req", "-new", *request, *files)
    by = ["-config", "forge.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-extensions", "x"]
    what = ["-in", f"{name}.csr", "-out", f"{name}.pem", "-startdate", start, "-enddate", end]
    openssl(directory, "ca", "-batch", "-notext", *by, *what)


def papers(trio):
    """Hosts, forged certificates, ones of another authority, and ones that were replaced."""
    tls = trio.dir / "tls"

    def certs(*words, directory=tls):
        done = trio.trefoil("certs", *words, "--dir", str(directory))
        if done.returncode != 0:
            raise ClaimFailed(f"trefoil certs {' '.join(words)}: {done.stderr}")
        return done.stdout

    hosts = [word for host in ("db1", "backup", "stranger") for word in ("--host", host)]
    certs("issue", *hosts, "--layout", "qemu")
    other = trio.dir / "other"
    certs("init", directory=other)
    certs("issue", "b", "--host", "db1", directory=other)
    for name in ("b", "db1"):
        for end in ("pem", "key"):
            (tls / f"old-{name}.{end}").write_bytes((tls / f"{name}.{end}").read_bytes())
        certs("renew", name, "--layout", "qemu")
        certs("revoke", name, "--old")
    forge(tls, "expired-b", "trefoil:site:b", PAST, "20210101000000Z")
    forge(tls, "early-b", "trefoil:site:b", SOON, FAR)
    forge(tls, "z", "trefoil:site:z", PAST, FAR)
    forge(tls, "expired-db1", "trefoil:host:db1", PAST, "20210101000000Z")
    forge(tls, "early-db1", "trefoil:host:db1", SOON, FAR)
    return certs("show", "-o", "json")


def cases(trio):
    """(port, reason, file of the certificate without its ending, more words for s_client)."""
    tls, other = trio.dir / "tls", trio.dir / "other"
    yield "address", "missing", None, []
    yield "address", "wrong_authority", other / "b", []
    yield "address", "expired", tls / "expired-b", []
    yield "address", "not_yet_valid", tls / "early-b", []
    yield "address", "wrong_name", tls / "z", []
    yield "address", "wrong_kind", tls / "db1", []
    yield "address", "removed", tls / "old-b", []
    yield "address", "protocol", tls / "b", ["-tls1_2"]
    yield "nbd", "missing", None, []
    yield "nbd", "wrong_authority", other / "db1", []
    yield "nbd", "expired", tls / "expired-db1", []
    yield "nbd", "not_yet_valid", tls / "early-db1", []
    yield "nbd", "wrong_kind", tls / "b", []
    yield "nbd", "removed", tls / "old-db1", []
    yield "nbd", "protocol", tls / "db1", ["-tls1_2"]


class StartTls(threading.Thread):
    """A port behind which TLS begins at once: it has asked the NBD port for STARTTLS before."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        exactly(far, 18)
        far.sendall(NBD_HELLO + STARTTLS)
        exactly(far, 20)
        far.settimeout(None)
        back = threading.Thread(target=pump, args=(far, near), daemon=True)
        back.start()
        pump(near, far)
        back.join(5)
        for end in (near, far, self.listener):
            end.close()


def exactly(stream, length):
    """Reads so many bytes."""
    data = b""
    while len(data) < length:
        more = stream.recv(length - len(data))
        if not more:
            raise ConnectionError("the daemon closed the connection")
        data += more
    return data


def pump(source, sink):
    """Carries bytes until one side ends."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def s_client(trio, port, paper, more):
    """Lets openssl connect, and waits until the daemon hangs up: whether it did."""
    words = ["-CAfile", str(trio.dir / "tls/ca.pem"), *more]
    if port == "nbd":
        relay = StartTls(trio.ports["a"]["nbd"])
        relay.start()
        target = relay.port
    else:
        target = trio.ports["a"]["address"]
        words += ["-alpn", "trefoil-site/1"]
    if paper is not None:
        words += ["-cert", f"{paper}.pem", "-key", f"{paper}.key"]
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{target}", *words]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as client:
        try:
            client.wait(3)
            return True
        except subprocess.TimeoutExpired:
            client.kill()
            return False


def refused(trio):
    """What site a counts, by reason."""
    pattern = r'trefoil_transport_refused_total\{site="a",reason="(\w+)"\} (\d+)'
    return {reason: int(count) for reason, count in re.findall(pattern, trio.metrics("a"))}


def every_refusal(report, _short):
    """Each wrong certificate at each port: refused, in its own words, and counted."""
    with Trio(Layout(volumes={"db0": "16MiB"}, transport="tcp+tls")) as trio:
        shown = papers(trio)
        env = dict(LOG)
        for site in SITES:
            # Listening on every address is what makes certificates of hosts required.
            env[f"TREFOIL__SITES__{site.upper()}__NBD"] = f"0.0.0.0:{trio.ports[site]['nbd']}"
        env[f"TREFOIL__GROUP__{GROUP.upper()}__HOSTS"] = "db1"
        env[f"TREFOIL__GROUP__{GROUP.upper()}__READ_ONLY_HOSTS"] = "backup"
        trio.run(*SITES, env=env)
        trio.until_serving("a")
        trio.until_paired("a", "b", "c")
        for port, reason, paper, more in cases(trio):
            before, said = refused(trio), len(trio.log("a"))
            closed = s_client(trio, port, paper, more)
            after, log = refused(trio), trio.log("a")[said:]
            moved = {word for word in after if after[word] != before.get(word, 0)}
            where = "site" if port == "address" else "NBD"
            report.claim(
                closed and moved == {reason} and WORDS[reason] in log,
                f"certificates: {reason} is refused at the {where} port, told and counted",
                f"closed {closed}, counted {sorted(moved)}: {log.strip()[-90:]}",
            )
        kept = not s_client(trio, "address", trio.dir / "tls/b", [])
        report.claim(kept, "certificates: the good one of a site is let in at the site port")
        hosts(report, trio)
        legs = trio.status("a")["legs"]
        report.claim(
            all(leg["state"] == "paired" and leg["security"] == "proven" for leg in legs.values()),
            "certificates: both legs are paired and proven meanwhile",
            ", ".join(f"{name} {leg['state']} {leg['security']}" for name, leg in legs.items()),
        )
        secrets(report, trio, shown)
        trio.stop(*SITES)


def open_as(trio, host):
    """A client with the certificate of `host`, before it has chosen an export."""
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    if host is not None:
        handle.set_tls(nbd.TLS_REQUIRE)
        handle.set_tls_certificates(str(trio.dir / "tls" / host))
        handle.set_tls_verify_peer(False)
    handle.connect_tcp("127.0.0.1", str(trio.ports["a"]["nbd"]))
    return handle


def names(handle):
    """The exports that are listed for it."""
    found = []
    handle.opt_list(lambda name, _: found.append(name) and 0)
    return found


def hosts(report, trio):
    """A host sees and gets what its group lists, and no more."""
    export = f"{GROUP}/db0"
    writer = open_as(trio, "db1")
    listed = names(writer)
    writer.set_export_name(export)
    writer.opt_go()
    writer.pwrite(b"w" * 4096, 0, nbd.CMD_FLAG_FUA)
    report.claim(listed == [export], "certificates: db1 sees its volume and writes it")
    reader = open_as(trio, "backup")
    reader.set_export_name(export)
    reader.opt_go()
    reads = reader.pread(4096, 0) == b"w" * 4096 and reader.is_read_only()
    reader.set_strict_mode(0)
    report.claim(
        reads and fails(lambda: reader.pwrite(b"r" * 4096, 0)),
        "certificates: a host that may read reads, and cannot write",
    )
    stranger = open_as(trio, "stranger")
    nothing = names(stranger)
    stranger.set_export_name(export)
    report.claim(
        nothing == [] and fails(stranger.opt_go),
        "certificates: a host that is not listed sees nothing and gets nothing",
        f"listed {nothing}",
    )
    plain = open_as(trio, None)
    plain.set_export_name(export)
    report.claim(
        fails(lambda: names(plain)) and fails(plain.opt_go),
        "certificates: without TLS nothing is told at a port that others reach",
    )


def fails(call):
    """Whether it raises what libnbd raises."""
    try:
        call()
    except nbd.Error:
        return True
    return False


def secrets(report, trio, shown):
    """No byte of a key is in a log, a metric, a status or a list."""
    keys = list((trio.dir / "tls").glob("*.key"))
    needles = set()
    for key in keys:
        lines = [line for line in key.read_text().splitlines() if "-----" not in line]
        needles.update(line for line in lines if len(line) > 16)
        raw = base64.b64decode("".join(lines))
        needles.update(raw[at : at + 16].hex() for at in range(36, len(raw) - 16))
    told = shown + trio.trefoil("status", "-o", "json").stdout
    for site in SITES:
        told += trio.log(site) + trio.metrics(site)
    found = [needle for needle in needles if needle in told]
    report.claim(
        not found and len(needles) > len(keys) and len(told) > 10_000,
        "certificates: no byte of a key in logs, metrics, status or lists",
        f"{len(needles)} pieces of {len(keys)} keys in {len(told)} characters",
    )
