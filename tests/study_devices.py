"""Each study's smoke run on a device that is not the CPU, beside the same run on the CPU: a GPU where there is one, else the made-up device.

    python tests/study_devices.py [STUDY …] [--out FOLDER]      a line a study; exit code 1 where one fails

A kernel's startup file makes the device known before the notebook's first cell, so that nothing of a study is changed for it.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from devices import NAME, built

from crimenb.lab import studies

TESTS = Path(__file__).parent
STARTUP = f"import sys\nsys.path.insert(0, {str(TESTS)!r})\nimport devices\ndevices.usual()\n"
# these differ between any two runs
OF_THE_MACHINE = ("second", "memory", "MB", "speed", "time")


def run(study, out, profile):
    "The result of one smoke run, or the last lines of what it said."
    done = subprocess.run([sys.executable, "-m", "crimenb", "reproduce", study, "--profile", "smoke", "--out", str(out)],
                          capture_output=True, text=True, cwd=TESTS.parent, env=os.environ | {"IPYTHONDIR": str(profile)})
    found = sorted(Path(out).glob(f"{study}-smoke-*.json"))
    if done.returncode or not found: return None, "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
    return json.loads(found[0].read_text(encoding="utf-8")), ""


def rows_of(result):
    "Value by what a row is about, without what is measured on the clock."
    keys = [k for k in ("method", "protocol", "metric", "split", "setting") if k in result["rows"][0]]
    rows = {}
    for row in result["rows"]:
        if not any(word in str(row["metric"]) for word in OF_THE_MACHINE):
            rows.setdefault(tuple(str(row[k]) for k in keys), []).append(row["value"])
    return rows


def compared(cpu, there):
    "How many rows both have, how many are equal to 1 %, and what is wrong."
    ours, theirs = rows_of(cpu), rows_of(there)
    if ours.keys() != theirs.keys(): return "", f"rows differ: {sorted(ours.keys() ^ theirs.keys())[:3]}"
    pairs = [(a, b) for key in ours for a, b in zip(ours[key], theirs[key])]
    broken = [key for key in theirs for a, b in zip(ours[key], theirs[key]) if a is not None and (b is None or math.isnan(b) > math.isnan(a))]
    near = sum(a == b or (a is not None and b is not None and (math.isclose(a, b, rel_tol=.01, abs_tol=1e-6) or math.isnan(a))) for a, b in pairs)
    return f"{near} of {len(pairs)} rows alike to 1 %", f"no value for {broken[:3]}" if broken else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", choices=[*studies.names(), []], help="all, if none is named")
    parser.add_argument("--out", default=None)
    args = parser.parse_args()
    if not torch.cuda.is_available() and not built(): sys.exit("no GPU, and no C++ compiler for the made-up device")
    out, failed = Path(args.out or tempfile.mkdtemp(prefix="crimenb-devices-")), 0
    there, plain = out/"there", out/"plain"
    for folder in (there, plain): (folder/"profile_default"/"startup").mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available(): (there/"profile_default"/"startup"/"00-device.py").write_text(STARTUP, encoding="utf-8")
    for study in args.studies or studies.names():
        found, wrong = run(study, out/study/"device", there)
        said = ""
        if not wrong:
            before, wrong = run(study, out/study/"cpu", plain)
            if not wrong: said, wrong = compared(before, found)
            if not wrong and not any(name in str(found["device"]) for name in (NAME, "cuda")): said += ", computed on the CPU alone"
        failed += bool(wrong)
        print(f"{study:<18} {'fails: ' + wrong if wrong else said + ', ' + str(found['device'])}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__": main()
