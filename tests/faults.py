"Ways in which a file goes wrong, and what is asked of whoever reads it: one sentence, or what is in it."
import numpy as np

from crimenb.core import InputError

# what a hand, a crash or an attacker puts into the middle of a file
PIECES = (b"[", b"{", b"]", b"}", b'"', b",", b"null", b"1e999", b"9"*400, b"NaN", b"\xe9", b"\0", b"-", b"[["*3_000, b": ", b"&a", b"*a", b"\n  - ", b"!!python/name:os.system")

def damaged(good, rng, pieces=PIECES[:14]):
    "The bytes of a file after one of seven accidents."
    n, way = len(good), rng.integers(7)
    if way == 0: return good[:rng.integers(n)]
    at, many = int(rng.integers(n)), int(rng.integers(1, 40))
    if way == 1: return good[:at] + good[at + many:]
    if way == 2: return good[:at] + good[at:at + many]*3 + good[at + many:]
    if way == 3: return good[:at] + bytes(rng.integers(0, 256, many, dtype=np.uint8)) + good[at:]
    if way == 4: return good[:at] + pieces[rng.integers(len(pieces))] + good[at + 1:]
    out = bytearray(good)
    for i in rng.integers(0, n, 1 if way == 5 else many): out[i] ^= 1 << int(rng.integers(8))
    return bytes(out)

def flipped(path, good, rng, n=100):
    "Writes `n` versions of the file at `path`, each with another bit flipped, and stops at each."
    for at in rng.integers(0, 8*len(good), n):
        bad = bytearray(good)
        bad[at//8] ^= 1 << at % 8
        path.write_bytes(bad)
        yield

def tried(path, good, read, n, rng, pieces=PIECES, restore=True):
    "How many of `n` damaged versions of the file at `path` are refused; each in one sentence, or read."
    refused = 0
    for number in range(n):
        content = damaged(good, rng, pieces)
        path.write_bytes(content)
        try: read(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and 10 < len(str(error)) < 1_000, (path.name, number, str(error))
        except Exception as error: raise AssertionError(f"{path.name}, damage {number}: {type(error).__name__}: {error}; the file: {content[:300]!r}") from error
    if restore: path.write_bytes(good)
    return refused
