"""Do all Pythons that settings.ini names find their packages, and do tests that need no torch pass on those that are here?

    python tests/matrix.py [VERSION …] [--resolve-only]

Needs the network and uv. Environments lie in a temporary folder. An interpreter is a pythonX.Y that runs, or one of pyenv's.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
# quick, and about what differs between versions: reading, times, places, the views, rules, the command line
LIGHT = ("core", "fields", "tables", "events", "cleaning", "cities", "cards", "metrics", "sequences", "panels", "light")

def settings():
    ini = ConfigParser()
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]

def run(*command, cwd=ROOT, **env):
    return subprocess.run([*map(str, command)], cwd=cwd, env=os.environ | env, capture_output=True, text=True)

def uv(*command):
    "One call of uv: nothing if it went well, else the last lines of what it says."
    done = run(shutil.which("uv") or Path(sys.executable).parent / "uv", *command, "--quiet")
    return "" if done.returncode == 0 else "\n".join(done.stderr.strip().splitlines()[-6:])

def interpreter(version):
    "The path of this Python, or None."
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True)
    for path in filter(None, [shutil.which(f"python{version}"), *pyenv]):
        if run(path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip() == version: return path
    return None

def resolved(version, folder):
    "What keeps this Python from finding the packages of all extras as wheels; nothing if it finds them."
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(what for key, text in settings().items() if key.endswith("requirements") for what in text.split()))
    return uv("pip", "compile", wanted, "--constraint", "constraints.txt", "--python-version", version,
              "--only-binary", ":all:", "--output-file", folder / "found.txt")

def tried(version, python, folder):
    "What goes wrong in an environment of this Python without torch and all other extras; nothing if all tests pass."
    env = folder / version
    said = uv("venv", env, "--python", python) or uv("pip", "install", "--python", env / "bin/python", "--constraint", "constraints.txt", ".", "pytest", "hypothesis")
    if said: return said
    tests = [f"tests/test_{name}.py" for name in LIGHT]
    done = run(env / "bin/python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    print(f"{version}: {done.stdout.strip().splitlines()[-1]}", flush=True)
    return "" if done.returncode == 0 else "\n".join(done.stdout.strip().splitlines()[-40:])

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", default=settings()["pythons"].split())
    parser.add_argument("--resolve-only", action="store_true")
    given, wrong = parser.parse_args(), []
    with tempfile.TemporaryDirectory() as folder:
        for version in given.versions:
            said, python = resolved(version, Path(folder)), interpreter(version)
            print(f"{version}: {'finds no packages' if said else 'finds all packages'}", flush=True)
            if not said and not given.resolve_only:
                if python: said = tried(version, python, Path(folder))
                else: print(f"{version}: not on this machine, so nothing is run", flush=True)
            if said: wrong.append(f"{version}:\n{said}")
    sys.exit("\n\n".join(wrong))


if __name__ == "__main__": main()
