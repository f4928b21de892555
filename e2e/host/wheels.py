#!/usr/bin/env python3
"""Make pip wheels from Debian packages: wheels.py FOLDER FILE.deb...

A test host has no package index, yet `pip install -r requirements.txt` must really run on it. So the
files of Debian's Python packages are packed as wheels. A wheel requires those of the others that its
package depends on.

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
import tempfile
import textwrap
import zipfile

SITE = pathlib.Path("usr/lib/python3/dist-packages")
# What is Python's own, or in every venv where it is needed at all.
LEFT_OUT = {"python3-distutils", "python3-lib2to3", "python3-pkg-resources", "python3-setuptools"}


class Package:
    """A Debian package, unpacked in a folder: what Python can import of it, and its metadata."""

    def __init__(self, deb, folder):
        """Unpack the file."""
        self.name, depends = (
            subprocess.run(["dpkg-deb", "--field", deb, field], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
            for field in ("Package", "Depends")
        )
        self.depends = sorted({re.split(r"[\s:(]", part.strip(), maxsplit=1)[0] for part in re.split("[,|]", depends)})
        self.site = folder / self.name / SITE
        subprocess.run(["dpkg-deb", "--extract", deb, folder / self.name], check=True)
        metadata = [path for path in self.site.iterdir() if path.suffix in (".dist-info", ".egg-info")]
        if len(metadata) != 1:
            raise SystemExit(f"wheels: {self.name} has {len(metadata)} metadata folders, want 1")
        self.distribution = importlib.metadata.Distribution.at(metadata[0])
        self.files = [
            path for path in sorted(self.site.rglob("*"))
            if path.is_file() and metadata[0] not in (path, *path.parents)
        ]


def entry_points(distribution):
    """Return entry_points.txt without the indentation that some packages ship it with."""
    text = textwrap.dedent(distribution.read_text("entry_points.txt") or "")
    configparser.ConfigParser(delimiters=("=",)).read_string(text)  # pip would refuse it later, and less clearly
    return text


def pack(folder, package, names):
    """Write the wheel of one Debian package; names maps each Debian package to its Python name."""
    name, version = package.distribution.metadata["Name"], package.distribution.version
    compiled = any(path.suffix == ".so" for path in package.files)
    tag = "py3-none-any"
    if compiled:
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        tag = f"{python}-{python}-{re.sub('[-.]', '_', sysconfig.get_platform())}"

    stem = f"{re.sub('[-_.]+', '_', name)}-{version}"
    requires = "".join(f"Requires-Dist: {names[other]}\n" for other in package.depends if other in names)
    content = {str(path.relative_to(package.site)): path.read_bytes() for path in package.files}
    content[f"{stem}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    ).encode()
    content[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: wheels.py\nRoot-Is-Purelib: {str(not compiled).lower()}\nTag: {tag}\n"
    ).encode()
    if points := entry_points(package.distribution):
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
    with tempfile.TemporaryDirectory() as unpacked:
        debs = [deb for deb in sys.argv[2:] if pathlib.Path(deb).name.split("_")[0] not in LEFT_OUT]
        packages = [Package(deb, pathlib.Path(unpacked)) for deb in debs]
        names = {package.name: package.distribution.metadata["Name"] for package in packages}
        for package in packages:
            pack(folder, package, names)


main()
