# SPDX-License-Identifier: Apache-2.0
"""The Debian package that brings module and tracer into an image."""

import shutil
import subprocess


def field(package, name: str) -> str:
    done = subprocess.run(
        ["dpkg-deb", "--field", package, name],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_the_package_needs_a_guest_agent_and_no_compiler(package):
    assert field(package, "Package") == "membuddies-guest"
    assert field(package, "Depends") == "qemu-guest-agent"
    assert field(package, "Suggests") == "dkms"


def test_it_brings_a_module_for_each_kernel_and_a_static_tracer(packed, kernels):
    for kernel in kernels.values():
        module = packed[f"/usr/lib/membuddies/{kernel.release}/membuddies.ko"]
        text = subprocess.run(
            ["modinfo", "-F", "vermagic", module],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert text.split()[0] == kernel.release
    tracer = packed["/usr/sbin/membuddies-trace"]
    linked = subprocess.run(
        ["ldd", tracer], capture_output=True, text=True, check=False
    )
    assert "not a dynamic executable" in linked.stderr
    assert tracer.stat().st_size < 1 << 20


def test_a_machine_installs_and_removes_it(package, tmp_path):
    """By dpkg itself, into a root of its own that has a shell and nothing else."""
    for name in ("updates", "info"):
        (tmp_path / "var/lib/dpkg" / name).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    (tmp_path / "bin").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "bin/sh")
    dpkg = ["dpkg", f"--root={tmp_path}", "--force-depends"]
    done = subprocess.run([*dpkg, "--install", package], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "usr/sbin/membuddies-trace").exists()
    subprocess.run(
        [*dpkg, "--purge", "membuddies-guest"], check=True, capture_output=True
    )
    assert not (tmp_path / "usr/sbin/membuddies-trace").exists()
    assert not (tmp_path / "usr/src/membuddies-0.1.0").exists()


def test_dkms_builds_the_module_from_what_the_package_brings(packed, kernels, tmp_path):
    """For each kernel, all at one time."""
    source = packed["/usr/src/membuddies-0.1.0/dkms.conf"].parent
    shutil.copytree(source, tmp_path / "src" / source.name)
    builds = []
    for kernel in kernels.values():
        tree = tmp_path / kernel.release
        tree.mkdir()
        trees = [f"--dkmstree={tree}", f"--sourcetree={tmp_path / 'src'}"]
        command = ["dkms", "build", *trees, "-m", "membuddies/0.1.0"]
        pipe = subprocess.PIPE
        builds.append(
            subprocess.Popen(
                [*command, "-k", kernel.release], stdout=pipe, stderr=subprocess.STDOUT
            )
        )
    outputs = [build.communicate()[0] for build in builds]
    assert [build.returncode for build in builds] == [0] * len(kernels), outputs
    # Compressed where the kernel's own modules are.
    for kernel in kernels.values():
        built = (tmp_path / kernel.release).rglob("*/module/membuddies.ko*")
        assert len(list(built)) == 1
