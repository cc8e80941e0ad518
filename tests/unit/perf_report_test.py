#!/usr/bin/python3
"""The files of perf/run. The page that --report writes: whole in itself, every case in it, with and without an earlier
run; and what is said of files that cannot be read or written."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "perf"))
import files  # noqa: E402  found by the line above
import report  # noqa: E402

MACHINE = {"cpu": "a <CPU> & more", "cpus": 2, "kernel": "6.1", "load": "0.1", "tsc_hz": 2.6e9, "core_hz": 3.7e9,
           "hugepages": True}
CLOCKS = "clocks/packet"


def case(name, value, limit, unit=CLOCKS, stages=None):
    return {"name": name, "value": value, "unit": unit, "limit": limit, "ratio": limit / value, "spread": 1.0,
            "limit_is": "macswap, open, seal", "millions_per_second": 2600 / value,
            **({"stages": stages} if stages else {})}


def latency(load):
    us = {f"{limit}{name}": 1000.0 * load for limit in ("", "limit_") for name in report.PERCENTILES}
    return {**case(f"latency/{load}", 90.0, 60.0, unit="ns"), "rate": 1e6, **us}


RUN = {"machine": MACHINE,
       "cases": [case("forward/header-64", 240.0, 167.0, stages={"open": 91.0, "seal": 101.0}),
                 case("forward/header-1420", 242.0, 167.0, stages={"open": 91.0, "seal": 101.0}),
                 case("forward/frame-64", 254.0, 178.0), case("links/1", 240.0, 167.0), case("links/4096", 500.0, 200.0),
                 case("table/1k", 43.0, 5.0), case("table/16M", 116.0, 5.0), case("table/16M-uniform", 150.0, 5.0), latency(10),
                 latency(90), case("install/rules", 3e6, 3e7, unit="rules/s")]}
OLD = {"machine": MACHINE, "cases": [case("forward/header-64", 300.0, 165.0), case("gone/case", 1.0, 1.0)]}


class Report(unittest.TestCase):
    def page(self, run, old=None):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.html"
            report.write(path, run, old)
            return path.read_text()

    def test_has_every_case_and_chart_and_asks_nobody_for_anything(self):
        page = self.page(RUN)
        for one in RUN["cases"]:
            self.assertIn(f"<td>{one['name']}</td>", page)
        self.assertEqual(7, page.count("<svg"))
        self.assertIn("a &lt;CPU&gt; &amp; more", page)
        for outside in ("<script", "<link", "<img", "src=", "@import"):
            self.assertNotIn(outside, page)

    def test_shows_what_an_earlier_run_had(self):
        page = self.page(RUN, OLD)
        self.assertIn("300.0", page)
        self.assertIn("-20.0 %", page)
        self.assertNotIn("gone/case", page)
        self.assertNotIn("-20.0 %", self.page(RUN))

    def test_draws_what_is_there(self):
        one = self.page({"machine": MACHINE, "cases": [case("hostile/badtag", 140.0, 300.0)]})
        self.assertEqual(1, one.count("<svg"))


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def refused(self, do, *arguments):
        with self.assertRaises(SystemExit) as refusal:
            do(*arguments)
        return str(refusal.exception)

    def test_an_earlier_run_is_read(self):
        file = self.folder / "old.json"
        file.write_text(json.dumps(OLD))
        self.assertEqual(OLD, files.earlier(file))

    def test_what_is_no_earlier_run_is_refused_by_what_was_found(self):
        file = self.folder / "old.json"
        self.assertIn(f"--compare {file}: found No such file", self.refused(files.earlier, file))
        for text, found in (("", "no JSON"), ("[1]", "JSON without cases"), ("{}", "JSON without cases"),
                            ('{"cases": 7}', "JSON without cases"), ('{"cases": [{"name": "x"}]}', "a case without")):
            file.write_text(text)
            self.assertIn(f"found {found}", self.refused(files.earlier, file), text)
        file.write_bytes(b"\xff\xfe")
        self.assertIn("found no JSON", self.refused(files.earlier, file))

    def test_all_that_cannot_be_written_is_said_at_once(self):
        kept = self.folder / "kept.json"
        kept.write_text("as it was")
        files.expect_writable(kept, None)
        self.assertEqual("as it was", kept.read_text())
        said = self.refused(files.expect_writable, self.folder / "none" / "a", kept, self.folder)
        self.assertIn(f"{self.folder / 'none' / 'a'}: cannot be written: No such file", said)
        self.assertIn(f"{self.folder}: cannot be written: Is a directory", said)
        self.assertEqual(2, len(said.splitlines()))


if __name__ == "__main__":
    unittest.main()
