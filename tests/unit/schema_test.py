#!/usr/bin/python3
"""Holds the JSON Schemas and the reader to one another over the same files.

    schema_test.py CHECKER...       such as: schema_test.py build/skyctl check

config_files/good          both take them
config_files/bad/shape     both refuse them, and blame the same keys
config_files/bad/meaning   the schema takes them, the reader refuses them

Each bad file ends with the exact errors that the reader must print, one `# error: ` line each (the file's name left
out where it is the file's own). The samples in conf/ are held to both as templates, which have no keys.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema
import yaml

HERE = Path(__file__).resolve().parent
CONF = HERE.parents[1] / "conf"
FILES = HERE / "config_files"


class CoreLoader(yaml.BaseLoader):
    """YAML 1.2's core schema, as editors have it: 0x is a number, yes is none, a key stands once."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if len(set(map(str, keys))) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "duplicate key", node.start_mark)
        return super().construct_mapping(node, deep)


def _resolve(tag, pattern, convert):
    CoreLoader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), None)
    CoreLoader.add_constructor(tag, lambda _, node: convert(node.value))


_resolve("!null", "~|null|Null|NULL|", lambda text: None)
_resolve("!bool", "true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true")
_resolve("!int", "[-+]?[0-9]+", int)
_resolve("!int8", "0o[0-7]+", lambda text: int(text[2:], 8))
_resolve("!int16", "0x[0-9a-fA-F]+", lambda text: int(text, 16))
_resolve("!float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float)
CoreLoader.add_constructor("tag:yaml.org,2002:str", lambda _, node: node.value)


class Schemas:
    def __init__(self):
        self.of = {}
        for sort in ("router", "topology"):
            schema = json.loads((CONF / "schema" / f"{sort}.schema.json").read_text())
            jsonschema.Draft7Validator.check_schema(schema)
            self.of[sort] = jsonschema.Draft7Validator(schema)

    def errors(self, path):
        """(key, message) of what an editor would mark: a fault of YAML, which has no key, else the faults by the
        schema of the sort that the name tells, or that fits better."""
        try:
            document = yaml.load(path.read_text(), CoreLoader)
        except (yaml.YAMLError, TypeError, ValueError) as error:  # TypeError: a key that is a map
            return [(None, f"not YAML: {error}")]
        named = [sort for sort in self.of if path.name.startswith(sort)]
        faults = [[(key, error.message) for error in self.of[sort].iter_errors(document) for key in _blamed(error)]
                  for sort in named or self.of]
        return min(faults, key=len)


def _blamed(error):
    """The keys that an error of the schema is about, written as the reader writes them."""
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    if error.validator == "required":
        names = [name for name in error.validator_value if name not in error.instance]
    elif error.validator == "additionalProperties":
        names = [name for name in error.instance if name not in error.schema["properties"]]
    else:
        return [key.removeprefix(".") or "file"]
    return [f"{key}.{name}".removeprefix(".") for name in names]


def reader_errors(checker, path, folder, *options):
    """The reader's exit code and its lines, the file's own name left out."""
    done = subprocess.run([*checker, *options, str(path)], cwd=folder, capture_output=True, text=True, timeout=60)
    lines = (done.stdout + done.stderr).splitlines()
    return done.returncode, [line.removeprefix(f"{path}:") for line in lines]


def expected_errors(path):
    return [line.removeprefix("# error: ") for line in path.read_text().splitlines() if line.startswith("# error: ")]


def check_good(schemas, checker, folder, path, *options):
    code, lines = reader_errors(checker, path, folder, *options)
    if code != 0:
        yield f"the reader refuses it: {lines}"
    for _, message in schemas.errors(folder / path):
        yield f"the schema refuses it: {message}"


def check_bad(schemas, checker, folder, path, schema_refuses):
    code, lines = reader_errors(checker, path, folder)
    expected = expected_errors(folder / path)
    if code != 2:
        yield f"exit code {code}, wanted 2"
    if not expected:
        yield "no `# error: ` line in it"
    yield from (f"not reported: {line}" for line in expected if line not in lines)
    yield from (f"not expected: {line}" for line in lines if line not in expected)
    errors = schemas.errors(folder / path)
    if schema_refuses and not errors:
        yield "the schema takes it"
    elif schema_refuses and path.name.startswith(("router", "topology")) and errors[0][0]:
        keys, by_schema = {line.split()[1].rstrip(":") for line in expected}, {key for key, _ in errors}
        if keys != by_schema:
            yield f"the reader alone blames {keys - by_schema}, the schema alone {by_schema - keys}"
    elif not schema_refuses:
        yield from (f"the schema refuses it: {message}" for _, message in errors)


def faults(schemas, checker, folder):
    """(file, what is wrong) of all files; paths start from the folder, so that errors are the same everywhere."""
    def in_folder(pattern):
        found = sorted(path.relative_to(folder) for path in folder.glob(pattern))
        if not found:
            yield pattern, "no such file"
        yield from ((path, None) for path in found)

    cases = [
        ("good/*.yaml", lambda path: check_good(schemas, checker, folder, path)),
        ("conf/*.yaml", lambda path: check_good(schemas, checker, folder, path, "--template")),
        ("conf/lab/*.yaml", lambda path: check_good(schemas, checker, folder, path, "--template")),
        ("bad/shape/*.yaml", lambda path: check_bad(schemas, checker, folder, path, True)),
        ("bad/meaning/*.yaml", lambda path: check_bad(schemas, checker, folder, path, False)),
    ]
    for pattern, check in cases:
        for path, missing in in_folder(pattern):
            yield from ((path, fault) for fault in ([missing] if missing else check(path)))
            yield path, None


def main():
    checker = [str(Path(sys.argv[1]).resolve()), *sys.argv[2:]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "files"
        shutil.copytree(FILES, folder)
        shutil.copytree(CONF, folder / "conf")
        for key in folder.glob("good/*.key"):
            os.chmod(key, 0o600)  # version control keeps no modes
        found = list(faults(Schemas(), checker, folder))
    for path, fault in found:
        if fault:
            print(f"{path}: {fault}")
    wrong = {path for path, fault in found if fault}
    print(f"{len({path for path, _ in found})} files, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
