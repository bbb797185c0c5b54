"""Redirects a TCP port of this network namespace to another, as iptables' REDIRECT does for local connections.

    nat-redirect.py PORT TARGET

Speaks to nf_tables itself, so that a test needs neither iptables nor nft. Exits with an error when the kernel refuses.
"""

import socket
import struct
import sys

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_CREATE, NLM_F_APPEND = 0x1, 0x4, 0x400, 0x800
NLMSG_ERROR, BATCH_BEGIN, BATCH_END, NFTABLES = 2, 16, 17, 10 << 8
NEWTABLE, NEWCHAIN, NEWRULE = 0, 3, 6
AF_IPV4, HOOK_OUTPUT, PRIORITY_DSTNAT = 2, 3, -100
REGISTER_1, TRANSPORT_HEADER, DESTINATION_PORT_OFFSET = 1, 2, 2


def attribute(kind, value, nested=False):
    length = 4 + len(value)
    return struct.pack("=HH", length, kind | (0x8000 if nested else 0)) + value + b"\0" * (-length % 4)


def text(kind, value):
    return attribute(kind, value.encode() + b"\0")


def number(kind, value):
    return attribute(kind, struct.pack(">I", value))


def data(kind, value):
    return attribute(kind, attribute(1, value), nested=True)


def expression(name, body):
    return attribute(1, text(1, name) + attribute(2, body, nested=True), nested=True)


def message(kind, flags, sequence, family, resource, body=b""):
    payload = struct.pack("=BBH", family, 0, socket.htons(resource)) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, flags | NLM_F_REQUEST, sequence, 0) + payload


def main(port, target):
    create = NLM_F_CREATE | NLM_F_ACK
    hook = number(1, HOOK_OUTPUT) + attribute(2, struct.pack(">i", PRIORITY_DSTNAT))
    rule = (
        expression("payload", number(1, REGISTER_1) + number(2, TRANSPORT_HEADER) + number(3, DESTINATION_PORT_OFFSET) + number(4, 2))
        + expression("cmp", number(1, REGISTER_1) + number(2, 0) + data(3, struct.pack(">H", port)))
        + expression("immediate", number(1, REGISTER_1) + data(2, struct.pack(">H", target)))
        + expression("redir", number(1, REGISTER_1))
    )
    batch = [
        message(BATCH_BEGIN, 0, 0, 0, 10),
        message(NFTABLES | NEWTABLE, create, 1, AF_IPV4, 0, text(1, "test")),
        message(NFTABLES | NEWCHAIN, create, 2, AF_IPV4, 0, text(1, "test") + text(3, "out") + attribute(4, hook, True) + text(7, "nat")),
        message(NFTABLES | NEWRULE, create | NLM_F_APPEND, 3, AF_IPV4, 0, text(1, "test") + text(2, "out") + attribute(4, rule, True)),
        message(BATCH_END, 0, 4, 0, 10),
    ]
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    netlink.bind((0, 0))
    netlink.settimeout(5)
    netlink.send(b"".join(batch))
    acknowledged = set()
    while acknowledged != {1, 2, 3}:
        answer = netlink.recv(65536)
        while len(answer) >= 16:
            length, kind, _, sequence, _ = struct.unpack("=IHHII", answer[:16])
            if kind == NLMSG_ERROR:
                (error,) = struct.unpack("=i", answer[16:20])
                if error != 0:
                    sys.exit(f"the kernel refused message {sequence}: errno {-error}")
                acknowledged.add(sequence)
            answer = answer[(length + 3) & ~3 :]


main(int(sys.argv[1]), int(sys.argv[2]))
