"""Certificates are renewed and read again while a host writes: no leg drops, no write is lost."""

import re
import ssl
import time
from hashlib import sha256

from claims import ClaimFailed
from layout import SITES, Layout
from reload import GAP_SECONDS_MAX, fetched, reconnects
from trio import Trio
from writer import Writer

MIB = 1 << 20


def certs(trio, *words):
    """A verb of `trefoil certs` that must succeed."""
    done = trio.trefoil("certs", *words, "--dir", str(trio.dir / "tls"))
    if done.returncode != 0:
        raise ClaimFailed(f"trefoil certs {' '.join(words)}: {done.stderr}")


def fingerprint(trio, site):
    """Of the certificate in the site's file."""
    text = (trio.dir / "tls" / f"{site}.pem").read_text()
    return sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()


def expiry(trio, site):
    """When the certificate that the site holds ends, as it tells."""
    pattern = r"trefoil_certificate_expiry_timestamp_seconds\{[^}]*\} ([0-9.e+]+)"
    return float(re.search(pattern, trio.metrics(site)).group(1))


def renewed(trio, days):
    """New certificates for everybody, which last so long, and every site reads them; the fingerprints
    that are no good any more."""
    old = [fingerprint(trio, site) for site in SITES]
    for site in SITES:
        certs(trio, "renew", site, "--valid-for", f"{days}days")
        trio.answer("reload", "--at", site)
        time.sleep(0.3)
    for site in SITES:
        certs(trio, "revoke", site, "--old")
    for site in SITES:
        trio.answer("reload", "--at", site)
    return old


def while_a_host_writes(transport):
    """The scenario over one transport."""

    def run(report, short):
        layout = Layout(volumes={"db0": "32MiB"}, transport=transport)
        with Trio(layout) as trio:
            trio.start()
            rotate(report, trio, transport, 2 if short else 5)

    return run


def rotate(report, trio, transport, rounds):
    """Every certificate is replaced, and the old one taken out, again and again."""
    name = f"renewal over {transport}"
    writer = Writer([trio.uri("a", "db0")], (0, 16 * MIB))
    writer.start()
    time.sleep(1)
    plan, copied = fetched(trio)
    before = sum(reconnects(trio, site) for site in SITES)
    gone = []
    for turn in range(rounds):
        gone += renewed(trio, 100 + turn)
        time.sleep(0.5)
    accepted = (trio.dir / "tls" / "accepted").read_text()
    ends = [expiry(trio, site) - time.time() for site in SITES]
    held = [abs(end / 86_400 - (99 + rounds)) < 1 for end in ends]
    report.claim(
        all(held) and not any(old in accepted for old in gone),
        f"{name}: every site holds its new certificate, and the old ones are not accepted",
        f"{rounds} rounds, {len(gone)} certificates replaced",
    )
    status = trio.status("a")
    downs = sum(trio.log(site).count("link down") for site in SITES)
    after = sum(reconnects(trio, site) for site in SITES)
    same = fetched(trio) == (plan, copied)
    report.claim(
        all(leg["state"] == "paired" for leg in status["legs"].values())
        and (downs, after) == (0, before)
        and same,
        f"{name}: no leg drops",
        f"{downs} links down, {after - before:.0f} made again, {copied} bytes copied",
    )
    report.claim(
        writer.connections == 1 and not writer.errors and writer.longest_gap < GAP_SECONDS_MAX,
        f"{name}: the host is answered all the time",
        f"{writer.answer_count()} answers, longest gap {writer.longest_gap * 1000:.0f} ms",
    )
    # The new ones are good for a link: C's process comes back with nothing but them.
    trio.stop("c")
    trio.run("c")
    trio.until_paired("a", "c")
    report.claim(True, f"{name}: a link that is made now is made by the new certificates")
    writer.stop()
    trio.quiet("a", "b", "c")
    wrong = [problem for site in SITES for problem in writer.lost(trio.uri(site, "db0"))]
    report.claim(not wrong, f"{name}: no write is lost", "; ".join(wrong[:3]))
    trio.stop(*SITES)
