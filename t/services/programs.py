"""Programs that servers are made of: finding them, running them, installing them."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

from t.services.processes import ServiceError

#: Packages that only servers need, apart from the project's environment.
CACHE = Path(os.environ.get("SERVICES_CACHE") or Path.home() / ".cache" / "test-services")


def call(argv, **kw):
    """Run a set-up command; its output becomes the error when it fails."""
    kw.setdefault("timeout", 120)
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    if r.returncode:
        raise ServiceError(
            f"{argv[0]}: exit {r.returncode}: {(r.stderr or r.stdout).strip()[-800:]}"
        )
    return r.stdout


def which(*names):
    """First of `names` that is on PATH, in sbin or in a Debian libdir."""
    for name in names:
        if "/" in name:
            for hit in sorted(glob.glob(name), reverse=True):
                if os.access(hit, os.X_OK):
                    return hit
            continue
        hit = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
        if hit:
            return hit
    return None


def pip_dir(package):
    return CACHE / "pip" / package


def npm_bin(package, name):
    return CACHE / "npm" / package / "node_modules" / ".bin" / name


def need(**things):
    return [k.replace("_", "-") for k, v in things.items() if not v]


def install(service):
    """Get what a service needs: apt, pip (into a directory of its own), npm."""
    if service.apt:
        have = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *service.apt],
            capture_output=True,
            text=True,
        ).stdout
        todo = [p for p in service.apt if f"{p} install ok installed" not in have]
        if todo:
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            call(["apt-get", "update", "-q"], timeout=300)
            call(
                ["apt-get", "install", "-qy", "--no-install-recommends", *todo],
                env=env,
                timeout=900,
            )
    for spec in service.pip:
        target = pip_dir(spec.split("[")[0].split("=")[0])
        if not target.exists():
            tmp = target.with_name(target.name + ".tmp")
            shutil.rmtree(tmp, ignore_errors=True)
            call([sys.executable, "-m", "pip", "install", "-q", "--target", tmp, spec], timeout=600)
            tmp.rename(target)
    for spec in service.npm:
        target = CACHE / "npm" / spec
        if not (target / "node_modules" / spec).exists():
            target.mkdir(parents=True, exist_ok=True)
            (target / "package.json").write_text('{"private": true}')
            call(
                ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", spec],
                cwd=target,
                timeout=900,
            )
