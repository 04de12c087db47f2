"""The configuration of a run: the three-site layout in a directory of its own, on free ports."""

import random
import socket
from dataclasses import dataclass, field

SITES = ("a", "b", "c")
GROUP = "orders"


@dataclass
class Layout:
    """What a scenario wants to be different from the defaults."""

    #: The words: `tcp+tls` is tcp with a table `[tls]`, and `quic` needs one.
    transport: str = "tcp"
    backend: str = "file"
    #: Words of single links, where they differ: {"ac": "quic"}.
    words: dict = field(default_factory=dict)
    #: Volumes of the group and their sizes.
    volumes: dict = field(default_factory=lambda: {"db0": "96MiB", "scratch": "128MiB"})
    durability: str = "flush"
    fence: str = "status"
    #: The layout, and which site has which role in it.
    topology: str = "three_site"
    roles: dict = field(default_factory=lambda: {"primary": "a", "sync": "b", "async": "c"})
    #: Journal capacity of each site.
    journal: dict = field(default_factory=lambda: {site: "512MiB" for site in SITES})
    #: Lines for the table of a link: {"ac": ['delay = "200ms"']}.
    links: dict = field(default_factory=dict)
    #: Lines for `[limits]`, `[timing]` and `[arbiter]`.
    limits: list = field(default_factory=list)
    timing: list = field(default_factory=list)
    arbiter: list = field(default_factory=lambda: ['lease = "2s"'])
    #: More lines at the end of the file.
    more: str = ""

    @property
    def sites(self):
        """The sites of the group."""
        return tuple(self.roles.values())

    @property
    def tls(self):
        """Whether the sites need certificates."""
        return self.transport != "tcp"

    def text(self, ports, dirs):
        """The configuration file; `dirs` says where each site keeps its files."""
        lines = [
            'site = "a"',
            f"[group.{GROUP}]",
            f'topology = "{self.topology}"',
            *(f'{role} = "{site}"' for role, site in self.roles.items()),
            f'fence = "{self.fence}"',
            f'durability = "{self.durability}"',
        ]
        for volume, size in self.volumes.items():
            lines += [f"[group.{GROUP}.volume.{volume}]", f'size = "{size}"']
        for site in self.sites:
            lines += [
                f"[sites.{site}]",
                f'address = "127.0.0.1:{ports[site]["address"]}"',
                f'nbd = "127.0.0.1:{ports[site]["nbd"]}"',
                f'metrics = "127.0.0.1:{ports[site]["metrics"]}"',
                f'dir = "{dirs[site]}"',
                f'control = "{site}.sock"',
                f'backend = "{self.backend}"',
                f'journal_capacity = "{self.journal[site]}"',
            ]
        for link in ("ab", "ac", "bc"):
            if not set(link) <= set(self.sites):
                continue
            word = self.words.get(link, self.transport.removesuffix("+tls"))
            lines += [f"[link.{link}]", f'transport = "{word}"', *self.links.get(link, [])]
        if self.tls:
            lines += ["[tls]", 'dir = "tls"']
        for table, own in [
            ("limits", self.limits),
            ("timing", self.timing),
            ("arbiter", self.arbiter),
        ]:
            if own:
                lines += [f"[{table}]", *own]
        return "\n".join(lines) + "\n" + self.more


def free_ports():
    """Three free ports for each site, none of which an outgoing connection may be given."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_outgoing = int(file.read().split()[0])
    found = []
    while len(found) < 3 * len(SITES):
        port = random.randrange(10240, max(first_outgoing, 20480))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    numbers = iter(found)
    return {site: {what: next(numbers) for what in ("address", "nbd", "metrics")} for site in SITES}
