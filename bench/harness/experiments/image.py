"""The compressed size of the server's CPU image in a registry."""

import gzip
import io
import pathlib
import subprocess
import tarfile

from harness.experiment import Experiment

#: Debian packages with the files of the base image, gcr.io/distroless/cc-debian12:
#: https://github.com/GoogleContainerTools/distroless/tree/main/cc
_BASE_PACKAGES = ("base-files", "netbase", "tzdata", "ca-certificates", "libc6", "libssl3", "libgcc-s1", "libgomp1", "libstdc++6")

#: The default compression level of registries and Docker.
_LEVEL = 6


def budget(_settings, _peers):
    return 10


def run(context):
    """Every layer as a compressed tar: the program, ONNX Runtime, and the files of the base image if this
    machine is a Debian 12 with them."""
    program = context.installed["springtide"].programs / "springtide-server"
    library = pathlib.Path(context.values["onnxruntime"])
    return {
        "program_bytes": _compressed([program]),
        "library_bytes": _compressed(sorted(library.parent.glob("libonnxruntime*.so"))),
        "base_bytes": _base_bytes(),
    }


def _compressed(paths):
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", compresslevel=_LEVEL) as packed:
        with tarfile.open(fileobj=packed, mode="w|") as archive:
            for path in paths:
                archive.add(path, recursive=False)
    return len(content.getvalue())


def _base_bytes():
    """None if the packages aren't installed, so that the base image can't be measured."""
    if 'VERSION_ID="12"' not in pathlib.Path("/etc/os-release").read_text(encoding="utf-8"):
        return None
    try:
        listed = subprocess.run(["dpkg", "--listfiles", *_BASE_PACKAGES], stdout=subprocess.PIPE, text=True)
    except OSError:
        return None
    if listed.returncode != 0:
        return None
    paths = {pathlib.Path(line) for line in listed.stdout.splitlines() if line.startswith("/")}
    left_out = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/lintian/", "/usr/share/bug/")
    certificates = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    wanted = {path for path in paths if path.is_file() and not str(path).startswith(left_out)}
    return _compressed(sorted(wanted | {certificates}))


EXPERIMENT = Experiment("image", "the image's size", budget, run)
