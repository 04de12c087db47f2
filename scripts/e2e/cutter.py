"""A TCP proxy that can be cut: what is under way stands still, and nothing tells either end."""

import select
import socket
import threading
import time

LOOK = 0.005


class Cutter:
    """Carries what connects to it to `port` on loopback; its threads end with the program."""

    def __init__(self, port):
        self.target = port
        #: Odd while it is cut. A connection belongs to the turn in which it began, and ends when a
        #: heal makes it a later one.
        self.turn = 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self):
        """Nothing passes any more."""
        self.turn |= 1

    def heal(self):
        """New connections pass; those that stood still are ended."""
        if self.turn % 2:
            self.turn += 1

    def _listen(self):
        while True:
            near, _ = self.socket.accept()
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        begun = self.turn
        while self.turn % 2:
            time.sleep(LOOK)
        if self.turn != begun:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            near.close()
            return
        ends = {near: far, far: near}
        for end in ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.settimeout(5)
        try:
            while self._pass_on(ends, begun):
                pass
        except OSError:
            pass
        for end in ends:
            end.close()

    def _pass_on(self, ends, begun):
        if self.turn == begun + 1:
            time.sleep(LOOK)
            return True
        if self.turn != begun:
            return False
        ready, _, _ = select.select(list(ends), [], [], LOOK)
        for end in ready:
            data = end.recv(1 << 16)
            if not data:
                return False
            ends[end].sendall(data)
        return True
