"""Reads the journal's segment files from outside, by the documented layout alone.

A second reader, in another language, of what the daemon wrote: it counts independently what a
follower lacked. It trusts nothing but the magic words and the lengths.
"""

import struct

RECORDS_AT = 8192
HEADER_BYTES = 96
RECORD_MAGIC = b"TRF1"
#: magic, version, kind, payload bytes, payload CRC, generation count and id, number
RECORD = struct.Struct("<4sHHIIQQQ")


def records(path):
    """(number, encoded bytes, offset in the file) of every record in a segment file."""
    data = path.read_bytes()
    at = RECORDS_AT
    while at + HEADER_BYTES <= len(data):
        magic, _, _, payload, _, _, _, number = RECORD.unpack_from(data, at)
        if magic != RECORD_MAGIC:
            break
        yield number, HEADER_BYTES + payload, at
        at += HEADER_BYTES + payload


def between(files, after, upto):
    """How many records lie in (after, upto], and their encoded bytes."""
    count, total = 0, 0
    for path in files:
        for number, size, _ in records(path):
            if after < number <= upto:
                count, total = count + 1, total + size
    return count, total
