#!/usr/bin/env python3
"""Make pip wheels from installed Debian packages: wheels.py FOLDER PACKAGE...

A test host has no package index, yet `pip install -r requirements.txt` must really run on it. So the
files of each Debian package named, and of the Python packages it depends on, are packed as wheels.
Standard output lists the Debian packages used, one a line, for whoever removes them afterwards.

What a wheel requires is taken from Debian's Depends and not from the package's own metadata: Debian
strips that, and ships sets of versions which the upstream limits refuse (fastapi 0.92 with starlette 0.26).
"""

import base64
import configparser
import hashlib
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import sysconfig
import textwrap
import zipfile

SITE = pathlib.Path("/usr/lib/python3/dist-packages")
# These stay on the host, as Ubuntu has them; no venv needs them from the wheel folder.
KEPT = {"python3-minimal", "python3-pkg-resources", "python3-setuptools"}


def ask(*command):
    """Return the standard output of a command that must succeed."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def installed():
    """Return the Python packages of Debian on this machine."""
    lines = ask("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", "python3-*").splitlines()
    return {line.removesuffix(" installed") for line in lines if line.endswith(" installed")} - KEPT


def depends(package):
    """Return the Python packages that an installed Debian package depends on (of alternatives, the installed)."""
    field = ask("dpkg-query", "--show", "--showformat=${Depends}", package)
    names = {re.split(r"[\s:(]", part.strip(), maxsplit=1)[0] for part in re.split("[,|]", field)}
    return sorted(names & installed())


def files(package):
    """Return the files of a Debian package that Python can import, and the folder of its metadata."""
    paths = [pathlib.Path(line) for line in ask("dpkg", "--listfiles", package).splitlines()]
    inside = [path for path in paths if SITE in path.parents and path.is_file()]
    metadata = {SITE / path.relative_to(SITE).parts[0] for path in inside}
    metadata = [path for path in metadata if path.suffix in (".dist-info", ".egg-info")]
    if len(metadata) != 1:
        raise SystemExit(f"wheels: {package} has {len(metadata)} metadata folders, want 1")
    return [path for path in inside if metadata[0] not in (path, *path.parents)], metadata[0]


def entry_points(distribution):
    """Return entry_points.txt without the indentation that some packages ship it with."""
    text = textwrap.dedent(distribution.read_text("entry_points.txt") or "")
    configparser.ConfigParser(delimiters=("=",)).read_string(text)  # pip would refuse it later, and less clearly
    return text


def pack(folder, package, names):
    """Write the wheel of one Debian package; names maps each Debian package to its Python name."""
    sources, metadata = files(package)
    distribution = importlib.metadata.Distribution.at(metadata)
    name, version = distribution.metadata["Name"], distribution.version
    compiled = any(path.suffix == ".so" for path in sources)
    tag = "py3-none-any"
    if compiled:
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        tag = f"{python}-{python}-{re.sub('[-.]', '_', sysconfig.get_platform())}"

    stem = f"{re.sub('[-_.]+', '_', name)}-{version}"
    requires = "".join(f"Requires-Dist: {names[other]}\n" for other in depends(package))
    content = {str(path.relative_to(SITE)): path.read_bytes() for path in sources}
    content[f"{stem}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    ).encode()
    content[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: wheels.py\nRoot-Is-Purelib: {str(not compiled).lower()}\nTag: {tag}\n"
    ).encode()
    if points := entry_points(distribution):
        content[f"{stem}.dist-info/entry_points.txt"] = points.encode()

    record = f"{stem}.dist-info/RECORD"
    lines = []
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}\n")
    content[record] = "".join([*lines, f"{record},,\n"]).encode()
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in content.items():
            wheel.writestr(path, data)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    found, queue = set(), sys.argv[2:]
    while queue:
        package = queue.pop()
        if package not in found:
            found.add(package)
            queue += depends(package)
    names = {
        package: importlib.metadata.Distribution.at(files(package)[1]).metadata["Name"] for package in found
    }
    for package in sorted(found):
        pack(folder, package, names)
        print(package)


main()
