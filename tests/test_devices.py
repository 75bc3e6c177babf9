"Networks on a device that is not the CPU: what on_devices.py holds."
import subprocess
import sys
from pathlib import Path


def test_on_every_device_networks_train_and_go_on_as_on_the_cpu():
    "In a process of its own: PyTorch takes a new device only before its first step backward, and all later training would be on it."
    tests = Path(__file__).with_name("on_devices.py")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)], capture_output=True, text=True, cwd=tests.parents[1])
    assert done.returncode == 0, done.stdout[-6000:]
