"What CONTRIBUTING.md shows works as it stands there."
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

def test_the_worked_examples_run_in_order(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    assert len(blocks) == 3
    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"CRIMENB_PROGRESS": "0", "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "same hours" in done.stdout and "last period" in done.stdout and (tmp_path / "same.crimenb").exists() and (tmp_path / "oldtown.csv").exists() and list((tmp_path / "runs").glob("coin-smoke-bent-*.json"))
