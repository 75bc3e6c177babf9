"A page opened in a real browser, without a window and without network."
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
HEAD = "<script>window.problems = []; addEventListener('error', e => problems.push(e.message))</script>"
END = """<script>addEventListener('load', () => setTimeout(() => { let seen; try { seen = (() => { %s })(); } catch (e) { problems.push(String(e)); }
const box = document.createElement('pre'); box.id = 'seen';
box.textContent = JSON.stringify({seen, problems, fetched: performance.getEntriesByType('resource').map(e => e.name)}); parent.document.body.append(box); }, %d))</script>"""


def program():
    "The browser's path; `CRIMENB_BROWSER` names another one."
    found = os.environ.get("CRIMENB_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "the page is tested in a browser, and there is none here: install chromium (Debian: apt-get install chromium), or name one in CRIMENB_BROWSER"
    return found

def visit(page, script, folder, width=1280, height=900, after=0):
    "What `script`, the body of a function, returns in the page (a text) so many milliseconds after it was loaded; nothing may be broken and nothing fetched."
    copy = Path(folder) / "visited.html"
    # a library inside may hold the words too
    body, end = page.replace("<head>", "<head>" + HEAD, 1).rsplit("</body>", 1)
    inside = f"{body}{END % (script, after)}</body>{end}"
    # a window is never narrower than 500, a frame can be
    frame = f'<iframe style="border:0;width:{width}px;height:{height}px" srcdoc="{html.escape(inside)}"></iframe>'
    copy.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{frame}</body>', encoding="utf-8")
    command = [program(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND",
               f"--user-data-dir={folder}/browser", f"--window-size={max(width, 500)},{height}", "--virtual-time-budget=10000", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert found, f"the browser shows nothing: {done.stderr[-2000:]}"
    told = json.loads(html.unescape(found[1]))
    assert told["problems"] == [] and told["fetched"] == [], told
    return told["seen"]
