"""Just enough of QUIC to be a stranger: Initial packets that a server must take seriously.

RFC 9000 and 9001: the keys of an Initial packet follow from the connection id that its sender chose,
so anybody can make one. The greeting of TLS 1.3 inside is well formed, and never gone on with. AES
is libcrypto's, by ctypes: the interpreter's own `ssl` needs that library anyway.
"""

import ctypes
import ctypes.util
import hashlib
import hmac
import os
import struct

SALT = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
VERSION = 1
#: A server drops shorter datagrams that begin a connection.
DATAGRAM_BYTES = 1200
GET_TAG, TAG_BYTES = 0x10, 16

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_128_ecb"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
for _name, _types in {
    "EVP_CIPHER_CTX_free": [ctypes.c_void_p],
    "EVP_EncryptInit_ex": [ctypes.c_void_p] * 3 + [ctypes.c_char_p] * 2,
    "EVP_EncryptUpdate": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int],
    "EVP_EncryptFinal_ex": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
    "EVP_CIPHER_CTX_ctrl": [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p],
}.items():
    getattr(_crypto, _name).argtypes = _types


def _encrypt(cipher, key, nonce, header, plain):
    """Ciphertext, and the tag of an authenticated cipher (empty for others)."""
    context = _crypto.EVP_CIPHER_CTX_new()
    try:
        _crypto.EVP_EncryptInit_ex(context, cipher, None, key, nonce)
        out, length = ctypes.create_string_buffer(len(plain) + 32), ctypes.c_int(0)
        if header is not None:
            _crypto.EVP_EncryptUpdate(context, None, ctypes.byref(length), header, len(header))
        _crypto.EVP_EncryptUpdate(context, out, ctypes.byref(length), plain, len(plain))
        sealed = out.raw[: length.value]
        if header is None:
            return sealed, b""
        _crypto.EVP_EncryptFinal_ex(context, out, ctypes.byref(length))
        tag = ctypes.create_string_buffer(TAG_BYTES)
        _crypto.EVP_CIPHER_CTX_ctrl(context, GET_TAG, TAG_BYTES, tag)
        return sealed, tag.raw
    finally:
        _crypto.EVP_CIPHER_CTX_free(context)


def _hash(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def _expand(secret, label, length):
    """HKDF-Expand-Label of TLS 1.3, one block of it."""
    name = b"tls13 " + label
    info = struct.pack(">HB", length, len(name)) + name + b"\0"
    return _hash(secret, info + b"\1")[:length]


def _number(value):
    """A number of variable length."""
    if value < 1 << 6:
        return bytes([value])
    return struct.pack(">H", value | 0x4000) if value < 1 << 14 else struct.pack(">I", value | 1 << 31)


def _block(size, data):
    """Data behind its length."""
    return len(data).to_bytes(size, "big") + data


def client_hello(source):
    """A greeting that a site answers with its whole handshake."""

    def extension(kind, data):
        return struct.pack(">H", kind) + _block(2, data)

    parameters = b"".join(
        _number(kind) + _block(1, value)
        for kind, value in [(0x0F, source), (0x01, _number(10_000)), (0x04, _number(1 << 20))]
    )
    extensions = b"".join(
        [
            extension(43, _block(1, b"\x03\x04")),
            extension(10, _block(2, b"\x00\x1d")),
            extension(13, _block(2, bytes.fromhex("0403050308040805"))),
            extension(51, _block(2, b"\x00\x1d" + _block(2, os.urandom(32)))),
            extension(16, _block(2, _block(1, b"trefoil-site/1"))),
            extension(57, parameters),
        ]
    )
    body = b"\x03\x03" + os.urandom(32) + b"\0" + _block(2, b"\x13\x01") + b"\1\0" + _block(2, extensions)
    return b"\1" + _block(3, body)


def initial(token=b"", destination=None, hello=None):
    """A datagram that begins a connection, or goes on with one that the server asked to prove its
    address: then with the server's id and its token."""
    destination = destination or os.urandom(8)
    source = os.urandom(8)
    hello = client_hello(source) if hello is None else hello
    secret = _expand(_hash(SALT, destination), b"client in", 32)
    key, iv = _expand(secret, b"quic key", 16), _expand(secret, b"quic iv", 12)
    mask_key = _expand(secret, b"quic hp", 16)
    frames = b"\x06\0" + _number(len(hello)) + hello
    # The packet is padded to the least size from inside.
    frames += bytes(max(0, DATAGRAM_BYTES - 60 - len(token) - len(frames)))
    number = b"\0\0\0\0"
    head = b"\xc3" + struct.pack(">I", VERSION) + _block(1, destination) + _block(1, source)
    head += _number(len(token)) + token + _number(len(number) + len(frames) + TAG_BYTES)
    # Packet number 0: the nonce is the vector itself.
    sealed, tag = _encrypt(_crypto.EVP_aes_128_gcm(), key, iv, head + number, frames)
    sealed += tag
    mask, _ = _encrypt(_crypto.EVP_aes_128_ecb(), mask_key, None, None, sealed[:16])
    first = bytes([head[0] ^ mask[0] & 0x0F])
    hidden = bytes(a ^ b for a, b in zip(number, mask[1:5]))
    datagram = first + head[1:] + hidden + sealed
    return datagram + bytes(max(0, DATAGRAM_BYTES - len(datagram)))


def retry(datagram):
    """(the server's id, its token) if a server's datagram asks to prove the address, else None."""
    if len(datagram) < 23 or datagram[0] & 0xF0 != 0xF0:
        return None
    at = 5
    at += 1 + datagram[at]
    length = datagram[at]
    server = datagram[at + 1 : at + 1 + length]
    return server, datagram[at + 1 + length : -TAG_BYTES]


def is_handshake_begun(datagram):
    """Whether a server answered with an Initial of its own: it holds a connection now."""
    return bool(datagram) and datagram[0] & 0xF0 == 0xC0
