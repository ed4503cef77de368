# SPDX-License-Identifier: GPL-2.0-only
"""
What is seen of the lab by a plugin of QEMU's: how to build one and run the lab with it,
and names for addresses.
"""
import base64
import bisect
import fcntl
import gzip
import os
import re
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


class Wrong(Exception):
    """Something that cannot be used."""


def run(*command, **options):
    return subprocess.run(command, check=True, encoding="utf-8", **options)


def functions(path):
    """Address, size and name of each function of a program."""
    text = run("nm", "-S", path, stdout=subprocess.PIPE).stdout
    return [(int(address, 16), int(size, 16), name) for address, size, name in
            re.findall(r"^(\w+) (\w+) [tTwW] (\S+)$", text, re.M)]


def build(kernel, program, plugin, name):
    """
    Build the module, a program of ours, and a plugin into build/@name/; the program's
    functions.
    """
    out = os.path.join(TOP, "build", name)
    tests = os.path.join(TOP, "build/selftests")
    if "," in out:
        raise Wrong("the plugin's arguments are separated by commas, and there is "
                    f"one in {out}")
    os.makedirs(out, exist_ok=True)
    os.makedirs(tests, exist_ok=True)
    with open(os.path.join(tests, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run("make", "-s", "-C", TOP, "modules", f"KERNEL={kernel}",
            stdout=subprocess.DEVNULL)
        run("make", "-s", "-C", os.path.join(TOP, "selftests"), program,
            stdout=subprocess.DEVNULL)
    run("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
        "-o", f"{out}/{plugin}.so", os.path.join(HERE, f"plugin/{plugin}.c"))
    return functions(os.path.join(tests, program))


def watch(kernel, name, program, plugin, *options, arguments="", command=()):
    """
    Run in_lab.sh with what build() built, in a lab of this name; the lab's exit status,
    what it printed, and what the plugin wrote.  @options are the lab's, @arguments the
    plugin's, with a comma behind each, @command those of in_lab.sh.
    """
    out = os.path.join(TOP, "build", name)
    lab = subprocess.run((
        os.path.join(TOP, "selftests/lab/run"), "--kernel", kernel, "--name", name,
        *options, "--memory", "2048", "--timeout", "1200",
        "--plugin", f"{out}/{plugin}.so,{arguments}out={out}/{plugin}",
        "--add", f"{TOP}/build/module-{kernel}/hv_postmsg.ko:/opt/hv_postmsg.ko",
        "--add", f"{TOP}/build/selftests/{program}:/opt/{program}",
        "--add", f"{HERE}/in_lab.sh:/opt/in_lab.sh",
        "--", "/opt/in_lab.sh", *command),
        stdout=subprocess.PIPE, encoding="utf-8", errors="replace", check=False)
    with open(f"{out}/{plugin}", encoding="utf-8") as file:
        return lab.returncode, lab.stdout, file.read()


class Symbols:
    """Names for addresses: the guest's, the kernel's, its modules'."""

    def __init__(self, program, log):
        """Of functions(), and of what in_lab.sh --symbols printed."""
        packed = re.search(r"^kallsyms (\S+)$", log, re.M)
        if not packed:
            raise Wrong("the lab has printed no symbols")
        kallsyms = gzip.decompress(base64.b64decode(packed[1])).decode()
        self.program = {address: (address + size, name)
                        for address, size, name in program}
        self.kernel = {}
        for address, name, module in re.findall(
                r"^(\w+) [tTwW] (\S+)(?:\s+\[(\w+)\])?$", kallsyms, re.M):
            self.kernel.setdefault(int(address, 16), (name, module or "vmlinux"))
        self.starts = sorted(self.program), sorted(self.kernel)

    def find(self, address):
        """Function and module of an address, and is it the function's first?"""
        user = address < 1 << 63
        starts = self.starts[0 if user else 1]
        at = bisect.bisect(starts, address) - 1
        start = starts[at] if at >= 0 else None
        if not user:
            return self.kernel[start], address == start
        if start is not None and address < self.program[start][0]:
            return (self.program[start][1], "guest"), address == start
        return ("hypercall page", "guest"), False
