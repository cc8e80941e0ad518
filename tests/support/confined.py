#!/usr/bin/python3
"""Starts a program as its unit would, as far as that goes without systemd: user, groups, capabilities, system calls.

    confined.py UNIT ETC PROGRAM --config ROUTER_YAML

Run as root in a mount namespace of its own (`ip netns exec` makes one). ETC holds passwd and group with the unit's
users, as `users` makes them; they are laid over the machine's. A system call that the unit's filter refuses kills the
program, where systemd answers EPERM, so that nothing is refused unseen but for what is known to be tried in vain.
"""

import errno
import grp
import os
import pwd
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PROT_WRITE, PROT_EXEC = 2, 4
REFUSED_IN_VAIN = ("iopl",)  # DPDK's virtio driver tries it when it is loaded, and goes without


def users(sysusers, etc):
    """Fills the folder with passwd and group of this machine and the users that the sysusers file asks for."""
    (etc / "etc").mkdir(parents=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        if Path("/etc", name).exists():
            shutil.copy(Path("/etc", name), etc / "etc" / name)
    subprocess.run(["systemd-sysusers", f"--root={etc}", sysusers], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return etc / "etc"


def service(unit):
    """{key: its words, over all lines}; a filter keeps its lines apart: each may begin with ~."""
    found = {}
    for line in Path(unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value.split())
    return {key: lines if key == "SystemCallFilter" else sum(lines, []) for key, lines in found.items()}


def system_calls(lines):
    """The names that the lines of SystemCallFilter= leave allowed."""
    def names(word):
        if not word.startswith("@"):
            return {word}
        text = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True)
        members = [line.strip() for line in text.stdout.splitlines()[1:] if line.strip()[:1] not in ("", "#")]
        return set().union(*(names(member) for member in members))

    allowed = names("@default")
    for words in lines:
        if words[0].startswith("~"):
            allowed -= set().union(*(names(word.removeprefix("~")) for word in words))
        else:
            allowed |= set().union(*(names(word) for word in words))
    return allowed


def load_filter(allowed, families):
    import socket
    import seccomp  # as the user: the filter is this process's own

    rules = seccomp.SyscallFilter(seccomp.KILL_PROCESS)

    def allow(name, *arguments):
        try:
            rules.add_rule(seccomp.ALLOW, name, *arguments)
        except (RuntimeError, OSError):
            pass  # a name of another architecture

    def without(bit):
        return seccomp.Arg(2, seccomp.MASKED_EQ, bit, 0)

    for name in REFUSED_IN_VAIN:
        rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
    for name in allowed - {"mmap", "mprotect", "socket", "pkey_mprotect"}:
        allow(name)
    allow("mmap", without(PROT_WRITE))  # MemoryDenyWriteExecute=
    allow("mmap", without(PROT_EXEC))
    allow("mprotect", without(PROT_EXEC))
    for family in families:
        allow("socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    rules.load()


def start_confined(unit, program):
    """The last step, as the unit's user."""
    settings = service(unit)
    os.umask(int(settings["UMask"][0], 8))
    load_filter(system_calls(settings["SystemCallFilter"]), settings["RestrictAddressFamilies"])
    os.execv(program[0], program)


def main():
    if sys.argv[1] == "--confined":
        return start_confined(sys.argv[2], sys.argv[3:])
    unit, etc, *program = sys.argv[1:]
    for name in ("passwd", "group"):
        subprocess.run(["mount", "--bind", f"{etc}/{name}", f"/etc/{name}"], check=True)
    settings = service(unit)
    router = yaml.safe_load(Path(program[program.index("--config") + 1]).read_text())
    # What the dataplane's unit and the operator do: the runtime directory, and the key that only one may read.
    os.chown(router["runtime"], pwd.getpwnam("skyedge-data").pw_uid, grp.getgrnam("skyedge-data").gr_gid)
    os.chmod(router["runtime"], 0o1771)
    os.chown(router["identity"], pwd.getpwnam("skyedge").pw_uid, -1)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    except (OSError, ValueError):
        pass  # where the machine does not let root, the program keeps what it needs instead
    capabilities = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}"
                                       for name in settings["CapabilityBoundingSet"])])
    groups = [grp.getgrnam(name).gr_gid for name in settings.get("SupplementaryGroups", [])]
    os.execvp("setpriv", ["setpriv", f"--reuid={settings['User'][0]}", f"--regid={settings['Group'][0]}",
                          f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups",
                          f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}",
                          f"--bounding-set={capabilities}", "--no-new-privs",
                          sys.executable, __file__, "--confined", unit, *program])


if __name__ == "__main__":
    main()
