# SPDX-License-Identifier: Apache-2.0
"""A swap file of our own, for as long as a test needs one."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def file(path: pathlib.Path, size_mb: int) -> Iterator[None]:
    """Swap space in a new file; what is in it comes back at the end."""
    with path.open("wb") as swap:
        swap.write(bytes(size_mb << 20))
    path.chmod(0o600)
    subprocess.run(["mkswap", str(path)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["swapoff", str(path)], check=True)
        path.unlink()
