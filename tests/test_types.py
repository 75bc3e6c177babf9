"Hints that are checked, and that are there: what a reader of a public function is told about each argument and about what comes back."
import ast
import io
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# the notebooks of the works tell shapes in their prose and docstrings; cleaning is the youngest
NOT_YET = ("papers", "cleaning")
MODULES = sorted(p for p in (ROOT / "crimenb").rglob("*.py") if p.stem not in ("__init__", "__main__", "_modidx"))

def test_mypy_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "mypy", f"--cache-dir={os.devnull}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"no issues found in {len(list((ROOT / 'crimenb').rglob('*.py')))} source files" in done.stdout

def commented(source, function):
    "The lines of a function's signature that end in a comment or follow one: nbdev's ways to say what an argument is."
    depth, found, lines = 0, set(), source.splitlines(keepends=True)[function.lineno - 1:]
    alone = lambda token: not token.line[:token.start[1]].strip()
    for token in tokenize.generate_tokens(iter(lines).__next__):
        if token.string in ("(", "[", "{") and token.type == tokenize.OP: depth += 1
        elif token.string in (")", "]", "}") and token.type == tokenize.OP:
            depth -= 1
            if not depth: return found
        elif token.type == tokenize.COMMENT: found.add(function.lineno - 1 + token.start[0] + alone(token))

def untold(source):
    "Names of public functions and methods, each with the arguments that have neither a hint nor a comment, and `return` where no hint says what comes back."
    body = ast.parse(source).body
    [exported] = [ast.literal_eval(line.value) for line in body if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and line.targets[0].id == "__all__"]
    functions = [(line.name, line) for line in body if isinstance(line, ast.FunctionDef) and line.name in exported]
    functions += [(f"{line.name}.{inner.name}", inner) for line in body if isinstance(line, ast.ClassDef) and line.name in exported
                  for inner in line.body if isinstance(inner, ast.FunctionDef) and (not inner.name.startswith("_") or inner.name == "__init__")]
    found = {}
    for name, function in functions:
        a, comments = function.args, commented(source, function)
        given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        bare = [one.arg for one in given if one.annotation is None and one.end_lineno not in comments and not ("." in name and one.arg in ("self", "cls"))]
        if function.returns is None and function.name != "__init__": bare.append("return")
        if bare: found[name] = bare
    return found

@pytest.mark.parametrize("path", [p for p in MODULES if p.relative_to(ROOT / "crimenb").parts[0].removesuffix(".py") not in NOT_YET], ids=lambda p: p.stem)
def test_of_every_argument_a_hint_or_a_comment_tells_what_it_is_and_a_hint_what_comes_back(path): assert untold(path.read_text(encoding="utf-8")) == {}

def test_what_is_not_told_is_found():
    source = """__all__ = ["told", "bare", "Box"]
def told(x: int, y,  # what it is
         *, z=(1,),  # and this
) -> int: return x  # z
def bare(x, *, y=(2)): return y  # a comment after the signature is not of it
def _hidden(x): return x
class Box:
    def __init__(self, size): self.size = size
    def open(self, how: str) -> None: pass
    def _shut(self, how): pass
"""
    assert untold(source) == {"bare": ["x", "y", "return"], "Box.__init__": ["size"]}
