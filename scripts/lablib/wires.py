"""How two nodes of a lab are joined, by the sort of port that DPDK drives at both ends.

`packet`: a veth pair, AF_PACKET on its ends. `xdp` and `tap`: frames of these do not pass where a filter could cut
them, so the port's interface and the veth's end are joined by a bridge in each node. `memif`: a Unix socket.
"""

from .tools import run

SORTS = ("packet", "xdp", "tap", "memif")


def device(sort, number, cable, socket, first):
    """The device string of a node's port number `number`, at the end `cable` of its veth; `first`: of the link's two
    ends."""
    return {
        # With the queueing layer passed by, `cut` would not see the frames.
        "packet": f"net_af_packet{number},iface={cable},qdisc_bypass=0",
        "xdp": f"net_af_xdp{number},iface=xdp{number}",
        "tap": f"net_tap{number},iface=tap{number}",
        "memif": f"net_memif{number},role={'server' if first else 'client'},socket={socket}",
    }[sort]


def join(space_a, cable_a, space_b, cable_b, mtu):
    """A veth pair between two namespaces, up."""
    run("ip", "link", "add", cable_a, "netns", space_a, "type", "veth", "peer", "name", cable_b, "netns", space_b)
    for space, cable in ((space_a, cable_a), (space_b, cable_b)):
        up(space, cable, mtu)


def attach(sort, space, number, cable, mtu):
    """What stands between a node's end of the veth and its port."""
    if sort == "xdp":
        run("ip", "-n", space, "link", "add", f"xdp{number}", "type", "veth", "peer", "name", f"xdp{number}w")
        bridge(space, number, mtu, cable, f"xdp{number}w")
        up(space, f"xdp{number}", mtu)
    elif sort == "tap":
        # It stays when its dataplane is killed, and with it its place in the bridge.
        run("ip", "-n", space, "tuntap", "add", f"tap{number}", "mode", "tap", "multi_queue")
        bridge(space, number, mtu, cable, f"tap{number}")


def bridge(space, number, mtu, *members):
    run("ip", "-n", space, "link", "add", f"br{number}", "type", "bridge", "mcast_snooping", 0)
    for member in members:
        run("ip", "-n", space, "link", "set", member, "master", f"br{number}")
        up(space, member, mtu)
    up(space, f"br{number}", mtu)


def up(space, interface, mtu):
    # The kernel must not speak on the wire: every frame there is Skyedge's.
    run("ip", "netns", "exec", space, "sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
    run("ip", "-n", space, "link", "set", interface, "mtu", mtu, "up")
