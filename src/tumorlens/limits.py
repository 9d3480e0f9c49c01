"""The limits: how large a thing may be, how long it may take, how many there may be; docs/security.md has the table.

What reads, receives or computes takes its limits from here, so that command line, page and node refuse the same.
"""

from __future__ import annotations

KB, MB = 1024, 1024**2

PIXELS = 2**24
"""Pixels of one slice, 4096 × 4096: in colour, its finding takes 0.8 GB of memory."""

PICTURE = 64_000_000
"""Pixels of a PNG, JPEG, TIFF or BMP, 8000 × 8000; those of more than `PIXELS` are read at a fraction of their size."""

VOXELS = 2**28
"""Voxels of one file that are decoded; as float32 they fill 1 GiB."""

SIDE = 16
"""Pixels along the shorter side below which a picture is no scan."""

FILE = 512 * MB
"""Bytes of one file, and of one instance that another system sends."""

# A case of the page. `web/settings.py` lets tests have less.

CASE_FILES = 5000
"""Files of a case, those inside archives counted."""

CASE = 4096 * MB
"""Bytes of a case's files together, unpacked."""

CASE_SECONDS, FINDING_SECONDS = 900.0, 30.0
"""Time for a case's analysis, or for a file of a batch; and for a scan that is answered at once."""

WORKER = 3072 * MB
"""Bytes of memory that a worker may take beyond what it holds after its start."""

SPARE_DISK = 256 * MB
"""Bytes of disk that the page leaves free."""

WAITING = 64
"""Requests for findings that may wait for a worker."""

BODY = 1_000_000
"""Bytes of a request to the page that is no upload: an outline of 2,000 corners fits many times."""

# The node's port.

VISITORS = 100
"""Connections to the node's port that have not asked for an association yet, and to the page's that are in a TLS
handshake; the one that waits longest makes room."""

REQUEST = 256 * KB
"""Bytes of an association request: 128 presentation contexts, each with 40 transfer syntaxes, take 150 KiB."""

REQUEST_SECONDS = 5.0
"""Time to ask for an association, a TLS handshake included."""

PDU = 128 * KB
"""Bytes of a PDU that the node takes, and says so; 16 KiB, the usual, makes thousands of a study."""

PDU_SECONDS = 30.0
"""Time for one PDU to come, or to be taken."""

MESSAGE = 2 * MB
"""Bytes of a DIMSE message that is no instance: commands, and reports of storage commitment."""

MESSAGE_SECONDS = 600.0
"""Time for one DIMSE message; an instance of 512 MB takes that long at 1 MB/s."""

PIPELINE = 4
"""Requests that an association may send before the first is answered; by the standard, it waits (PS3.7 D.3.3.3)."""

# The page's port.

CONNECTIONS = 512
"""Connections to the page; beyond, the one that has waited longest without a request makes room. Fewer where the
process may open fewer files."""

PEER_CONNECTIONS = 128
"""The same from one address; a proxy may have all."""

SPARE_FILES = 300
"""Files that a process may open besides connections."""

HEAD_SECONDS = 10.0
"""Time for a TLS handshake, and for the head of a request to come."""

KEEP_SECONDS = 30.0
"""Time that a connection stays open between requests."""

BODY_SECONDS, BODY_BYTES = 20.0, 20 * KB
"""A body, while it is waited for, brings at least so many bytes in such a time."""

ANSWER_SECONDS = 60.0
"""Time that an answer may wait for the other side to take some of it."""
