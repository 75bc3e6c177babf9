"""A police portal on this machine: it speaks SODA and ArcGIS REST from made-up rows, and misbehaves on demand.

Only 127.0.0.1 can reach it. It stops by itself after `seconds`, and answers no more than `most` requests.
"""
import datetime
import itertools
import json
import random
import re
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs
from urllib.parse import urlsplit

HUGE = 2 * 2**30
CATEGORIES = ("THEFT", "BATTERY", "ASSAULT", "BURGLARY")


def soda_rows(n, city="chicago", year=2018, seed=0):
    "`n` made-up rows as the city's portal names and writes them: a list of dicts of text."
    chance, rows = random.Random(f"{city}{year}{seed}"), []
    for i in range(n):
        when = datetime.datetime(year, 1, 1) + datetime.timedelta(minutes=chance.randrange(365 * 24 * 60))
        day, category = when.strftime("%Y-%m-%dT00:00:00.000"), chance.choice(CATEGORIES)
        if city == "chicago":
            row = dict(id=f"{year}{i:05}", date=when.strftime("%Y-%m-%dT%H:%M:%S.000"), primary_type=category, description='CALLED "SIMPLE", OR SO',
                       location_description=chance.choice(["STREET", "APARTMENT", None]), arrest=chance.random() < .2, community_area=str(1 + chance.randrange(77)),
                       beat="0111", district="001", ward="42", latitude=f"{41.7 + .2 * chance.random():.9f}", longitude=f"{-87.8 + .2 * chance.random():.9f}")
        elif city == "nyc":
            row = dict(cmplnt_num=f"{year}{i:05}", cmplnt_fr_dt=day, cmplnt_fr_tm=when.strftime("%H:%M:%S"), ofns_desc=category, prem_typ_desc="STREET", addr_pct_cd="44",
                       vic_race="(null)", vic_sex="F", latitude=f"{40.6 + .2 * chance.random():.6f}", longitude=f"{-74 + .1 * chance.random():.6f}")
        else:
            row = dict(dr_no=f"{year}{i:05}", date_occ=day, time_occ=when.strftime("%H%M"), area="1", area_name="Central", crm_cd_desc=category, premis_desc="SIDEWALK",
                       vict_age=chance.choice(["36", "0", None]), vict_sex="M", vict_descent="H", weapon_desc=None, lat=f"{34 + .1 * chance.random():.4f}", lon=f"{-118.3 + .1 * chance.random():.4f}")
        rows.append(row)
    return rows


def dc_rows(n, year=2018, seed=0):
    "`n` made-up rows as Washington's layer of one year holds them: times are milliseconds since 1970."
    chance, rows = random.Random(f"dc{year}{seed}"), []
    for i in range(n):
        began = int(datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc).timestamp() * 1000) + 60_000 * chance.randrange(360 * 24 * 60)
        rows.append(dict(CCN=f"{year % 100}{i:06}", REPORT_DAT=began + 3_600_000, SHIFT="DAY", METHOD="OTHERS", OFFENSE=chance.choice(["THEFT/OTHER", "ROBBERY"]),
                         XBLOCK=397398.6 + i, YBLOCK=138015.9, WARD="2", DISTRICT="3", PSA="307", LATITUDE=38.91, LONGITUDE=-77.03, START_DATE=began))
    return rows


class PortalServer:
    """`with PortalServer({"ijzp-q8t2": soda_rows(100)}) as server:` and then `server.base`.

    `misbehave(page=["", "429:7"])` says what to do at the next requests of a kind ("layers", "columns", "count", "page", "keys"):
    "" answers as a good portal would; a function is called with the server, before a good answer; the others are the names in `_answer`.
    """
    def __init__(self, soda=None, layers=None, seconds=60, most=2000):
        self.lock, self.asked, self.tokens, self.sent, self.wrong, self.most = threading.RLock(), [], set(), 0, 0, most
        self.base_path, self.faults, self.resources, self.types, self.ticks = "/FEEDS/MPD/FeatureServer", {}, {}, {}, itertools.count()
        self.stamped, self.last_edit, self.cap, self.before = False, None, 1000, []
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        for name, rows in (soda or {}).items(): self.add_resource(name, rows)
        for layer, (title, rows) in enumerate((layers or {}).items()): self.add_resource(f"layer{layer}", rows, title)
        self.http = _Server(("127.0.0.1", 0), _Handler)
        self.http.portal = self
        self.base = f"http://127.0.0.1:{self.http.server_port}"
        self.watch = threading.Timer(seconds, self.http.shutdown)
        self.watch.daemon = True

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.watch.start()
        return self

    def __exit__(self, *_):
        self.watch.cancel()
        self.http.shutdown()
        self.http.server_close()

    def misbehave(self, **faults): self.faults = {kind: iter(these) for kind, these in faults.items()}

    # --- what the police does to its table ---

    def now(self):
        "The portal's own clock, one second further at every change."
        return (datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=next(self.ticks))).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def add_resource(self, name, rows, title=None):
        with self.lock:
            columns = list(rows[0])
            self.resources[name], self.types[name] = title, {c: "date" if c in ("REPORT_DAT", "START_DATE") else "text" for c in columns}
            self.db.execute(f'CREATE TABLE "{name}" ("OBJECTID" INTEGER PRIMARY KEY, ":updated_at" TEXT, ' + ", ".join(f'"{c}"' for c in columns) + ")")
            stamp = self.now()
            for row in rows: self._put(name, row, stamp)

    def _put(self, name, row, stamp, number=None):
        names = ["OBJECTID", ":updated_at", *row]
        self.db.execute(f'INSERT INTO "{name}" ({", ".join(map(_quoted, names))}) VALUES ({", ".join("?" * len(names))})', [number, stamp, *row.values()])

    def insert(self, name, row, number=None):
        "A new row; with `number` its place in the portal's own order, which need not be the end."
        with self.lock: self._put(name, row, self.now(), number)

    def change(self, name, where, **values):
        with self.lock:
            values = {":updated_at": self.now(), **values}
            self.db.execute(f'UPDATE "{name}" SET {", ".join(_quoted(c) + " = ?" for c in values)} WHERE {where}', list(values.values()))

    def delete(self, name, where):
        with self.lock: self.db.execute(f'DELETE FROM "{name}" WHERE {where}')

    def replace(self, name, rows):
        "The whole table published anew: all rows get new numbers and one new stamp."
        with self.lock:
            first, stamp = self.db.execute(f'SELECT max("OBJECTID") FROM "{name}"').fetchone()[0] + 1, self.now()
            self.db.execute(f'DELETE FROM "{name}"')
            for i, row in enumerate(rows): self._put(name, row, stamp, first + i)

    def rename(self, name, old, new):
        with self.lock:
            self.db.execute(f'ALTER TABLE "{name}" RENAME COLUMN "{old}" TO "{new}"')
            self.types[name] = {new if c == old else c: t for c, t in self.types[name].items()}

    def add_column(self, name, column, value):
        with self.lock:
            self.db.execute(f'ALTER TABLE "{name}" ADD COLUMN "{column}" DEFAULT \'{value}\'')
            self.types[name][column] = "text"

    # --- what it answers ---

    def kinds(self): return [kind for kind, _ in self.asked]

    def pages(self):
        "How the pages began that were asked for, in order."
        return [query.get("$where") or query.get("where") for kind, query in self.asked if kind == "page"]

    def soda(self, path, query):
        if path.startswith("/api/views/"):
            name = path.split("/")[-1].removesuffix(".json")
            extra = [{"fieldName": ":@computed_region_1", "dataTypeName": "number"}, {"fieldName": "location", "dataTypeName": "location"}]
            return "columns", lambda: {"id": name, "columns": [{"fieldName": c, "dataTypeName": "text"} for c in self.types[name]] + extra}
        name, select = path.split("/")[-1].removesuffix(".json"), query["$select"]
        kind = "count" if "count(*)" in select else "keys" if select == ":id, :updated_at" else "page"
        return kind, lambda: [{k: _row_id(v) if k == ":id" else v == "1" if k == "arrest" else v for k, v in row.items() if v is not None} for row in self._select(
            name, select, query.get("$where"), query.get("$order"), int(query.get("$limit", 1000)), int(query.get("$offset", 0)))]

    def arcgis(self, path, query):
        rest = path.removeprefix(self.base_path).strip("/")
        titles = [(name, title) for name, title in self.resources.items() if title]
        if not rest: return "layers", lambda: {"layers": [{"id": int(name.removeprefix("layer")), "name": title} for name, title in titles]}
        name = "layer" + rest.split("/")[0]
        if "/" not in rest:
            fields = [{"name": "OBJECTID", "type": "esriFieldTypeOID"}, *({"name": c, "type": "esriFieldTypeDate" if t == "date" else "esriFieldTypeString"} for c, t in self.types[name].items())]
            about = {"objectIdField": "OBJECTID", "maxRecordCount": self.cap, "fields": fields}
            if self.last_edit is not None: about["editingInfo"] = {"lastEditDate": self.last_edit}
            if self.stamped: about["editFieldsInfo"], about["fields"] = {"editDateField": "EDITED"}, [*fields, {"name": "EDITED", "type": "esriFieldTypeDate"}]
            return "columns", lambda: about
        where = re.sub(r"TIMESTAMP '([^']*)'", lambda m: str(_milliseconds(m[1])), query["where"])
        if self.stamped: where = where.replace("EDITED", _EDITED)
        if "returnCountOnly" in query: return "count", lambda: {"count": self._select(name, "count(*) AS n", where)[0]["n"]}
        limit = min(int(query.get("resultRecordCount", self.cap)), self.cap)
        fields, order = query["outFields"], query.get("orderByFields")
        if self.stamped: fields, order = fields.replace("EDITED", f"{_EDITED} AS EDITED"), order
        kind = {"EDITED": "count", "OBJECTID,EDITED": "keys"}.get(query["outFields"], "page")
        return kind, lambda: {"features": [{"attributes": row} for row in self._select(name, fields, where, order, limit)]}

    def _select(self, name, select, where=None, order=None, limit=-1, offset=0):
        where = re.sub(r"'(row-\w+)'", lambda m: str(_number(m[1])), where or "1=1")
        text = f'SELECT {select} FROM "{name}" WHERE {where}' + (f" ORDER BY {order}" if order else "") + f" LIMIT {limit} OFFSET {offset}"
        # system columns begin with a colon, which SQL does not know
        text = re.sub(r"(?<![\w\":]):(id|updated_at)\b", lambda m: '"OBJECTID"' if m[1] == "id" else '":updated_at"', text)
        with self.lock:
            answer = self.db.execute(text)
            names = [":id" if c[0] == "OBJECTID" and "layer" not in name else c[0] for c in answer.description]
            return [dict(zip(names, (v if "layer" in name or v is None or isinstance(v, bool) else str(v) for v in row))) for row in answer.fetchall()]


_EDITED = '(strftime(\'%s\', ":updated_at") * 1000)'

def _quoted(name): return f'"{name}"'

def _milliseconds(text): return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)

def _row_id(number):
    "As portals do: text whose alphabetical order is not the order of the rows."
    return f"row-{(int(number) * 7919) % 999983:06x}_{int(number):x}"

def _number(row_id): return int(row_id.split("_")[1], 16)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    # a client that hangs up is what is tested, not an error of this server
    def handle_error(self, request, client_address): return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # else each answer waits 40 ms for the client to acknowledge its head
    disable_nagle_algorithm = True

    def log_message(self, *args): return None

    def do_GET(self):
        portal, parts = self.server.portal, urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        with portal.lock:
            if len(portal.asked) >= portal.most: return self._send(b"enough", 410)
            speak = portal.arcgis if parts.path.startswith(portal.base_path) else portal.soda
            try: kind, answer = speak(parts.path, query)
            except KeyError as error: return self._json({"message": f"there is no {error}"}, 404)
            portal.asked.append((kind, query))
            portal.tokens.add(self.headers.get("X-App-Token"))
            fault = next(portal.faults.get(kind, iter(())), "")
            portal.wrong += bool(fault)
        if callable(fault): fault(portal)
        try: self._answer("" if callable(fault) else fault, answer, kind)
        except (BrokenPipeError, ConnectionResetError): self.close_connection = True

    def _answer(self, fault, answer, kind):
        "What is sent: a good answer, or one of these faults."
        portal, (name, _, detail) = self.server.portal, fault.partition(":")
        if name == "403": return self._json({"message": "Invalid app_token specified"}, 403)
        if name in ("429", "500", "503"): return self._json({"message": "not now"}, int(name), {"Retry-After": detail} if detail else {})
        if name == "redirect": return self._send(b"", 302, {"Location": detail or self.path})
        if name == "html": return self._send(b"<html>Down for maintenance</html>")
        if name == "error in the answer": return self._json({"error": {"code": int(detail), "message": "Error performing query operation", "details": []}})
        if name == "hang": return time.sleep(float(detail)) or setattr(self, "close_connection", True)
        if name == "echo": return self._json({"message": f"unknown token {self.headers.get('X-App-Token')} in your question"}, 403)
        if name == "drip": return self._drip()
        if name == "huge": return self._huge(announced=detail != "unannounced")
        try: value = answer()
        except sqlite3.Error as error: return self._json({"message": f"Query coordinator error: {error}", "errorCode": "query.soql.no-such-column"}, 400)
        if name == "count": value = [{**value[0], "n": str(int(value[0]["n"]) + int(detail))}] if isinstance(value, list) else {"count": value["count"] + int(detail)}
        if name == "again": value = [*portal.before, *value]
        if name == "only again": value = portal.before
        if name == "backwards" and isinstance(value, list): value = value[::-1]
        if name == "nothing": value = [value[0] | {"newest": "2024-01-01T00:00:00.000Z"}] if kind == "count" and isinstance(value, list) else []
        if kind == "page" and isinstance(value, list) and value: portal.before = value[-3:]
        body = json.dumps(value).encode()
        if name == "truncated": return self._send(body[:len(body) // 2])
        if name == "closed":
            self._head(200, len(body))
            self.wfile.write(body[:len(body) // 2])
            self.close_connection = True
            return None
        return self._send(body)

    def _huge(self, announced):
        portal, block = self.server.portal, b"[" + b" " * (2**16 - 1)
        self._head(200, HUGE if announced else None)
        self.close_connection = True
        for _ in range(HUGE // len(block)):
            self.wfile.write(block)
            portal.sent += len(block)

    def _drip(self):
        "A byte every now and then, of many."
        self._head(200, 10**6)
        self.close_connection = True
        for _ in range(100):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(.2)

    def _json(self, value, status=200, headers=()): return self._send(json.dumps(value).encode(), status, dict(headers))

    def _head(self, status, length, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items(): self.send_header(name, value)
        if length is not None: self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, body, status=200, headers=()):
        self._head(status, len(body), headers)
        self.wfile.write(body)
