# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Holds the project's layers and house rules by reading the source with ast.

In come the .py files of the repository; out comes a failure that names the
file, the line and the rule. Nothing is imported but protobuf.
"""

import ast
import pathlib

import pytest
from google.protobuf.internal import api_implementation

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A file imports from its own room and from those before it.
ROOMS = (
  "bert/files",
  "bert/ops",
  "",
  "bert/records",
  "bert/tasks",
  "bert/reports",
  "bert/training",
  "bert/serving",
)
CORE = {"modeling", "optimization", "tokenization"}
# Loaded by processes that make data, and by scripts for --help: they need no
# TensorFlow.
LIGHT = {
  "bert/files/clock",
  "bert/files/kept_files",
  "bert/files/locks",
  "bert/files/reading",
  "bert/files/writing",
  "tokenization",
  "bert/records/parallel",
  "bert/records/pretraining_instances",
  "bert/records/tf_example",
  "bert/tasks/metrics",
  "bert/training/classifier_flags",
  "bert/training/endings",
  "bert/training/entry",
  "bert/training/flags",
  "bert/training/sweeps",
}
MAX_LIBRARY_LINES, MAX_SCRIPT_LINES = 800, 700

SCRIPTS = sorted(p for p in ROOT.glob("*.py") if p.stem not in CORE)
LIBRARIES = sorted(
  [*(ROOT / f"{name}.py" for name in CORE), *ROOT.glob("bert/**/*.py")]
)
OUR_FILES = SCRIPTS + LIBRARIES
ALL_FILES = OUR_FILES + sorted(
  path
  for folder in ("tests", "benchmarks", "examples", "faults")
  for path in ROOT.glob(f"{folder}/*.py")
)
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib"}
MAX_FUNCTION_LINES = 60
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


def name_of(path):
  return str(path.relative_to(ROOT))


def tree_of(path):
  return ast.parse(path.read_text(encoding="utf-8"))


def dotted(node):
  """ "a.b.c" of a name or an attribute, "" of anything else."""
  if isinstance(node, ast.Name):
    return node.id
  if isinstance(node, ast.Attribute):
    return f"{dotted(node.value)}.{node.attr}"
  return ""


def is_main_guard(node):
  return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def run_on_import(node):
  """Yields the nodes below `node` that run when their file is imported."""
  for child in ast.iter_child_nodes(node):
    if isinstance(child, (*FUNCTIONS, ast.Lambda)) or is_main_guard(child):
      continue
    yield child
    yield from run_on_import(child)


def imported_modules(nodes):
  """Yields (module, line) for every import statement among the nodes."""
  for node in nodes:
    if isinstance(node, ast.Import):
      for alias in node.names:
        yield alias.name, node.lineno
    elif isinstance(node, ast.ImportFrom):
      yield node.module or "", node.lineno


def calls(nodes):
  """Yields (last part of the called name, line) for every call."""
  for node in nodes:
    if isinstance(node, ast.Call):
      yield dotted(node.func).rpartition(".")[2], node.lineno


def each(paths):
  return pytest.mark.parametrize("path", paths, ids=name_of)


def room_of(path):
  """The place of a file's room: 0 for the core, the highest for scripts."""
  if path in SCRIPTS:
    return len(ROOMS)
  folder = str(path.parent.relative_to(ROOT))
  return ROOMS.index("" if folder == "." else folder)


def our_imports(nodes):
  """Yields (file of ours, line) for every import among the nodes."""
  for node in nodes:
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [node.module]
      names += [f"{node.module}.{alias.name}" for alias in node.names]
    for name in names:
      found = ROOT / (name.replace(".", "/") + ".py")
      if found.exists():
        yield found, node.lineno


def imported_by(path):
  """The files of ours that a file imports, wherever it does."""
  return {found for found, _ in our_imports(ast.walk(tree_of(path)))}


@each([p for p in LIBRARIES if p.name != "__init__.py"])
def test_imports_come_from_its_own_room_or_one_before(path):
  wrong = [
    f"{name_of(path)}:{line} imports {name_of(found)}"
    for found, line in our_imports(ast.walk(tree_of(path)))
    if room_of(found) > room_of(path)
  ]
  assert not wrong


@each(SCRIPTS)
def test_scripts_do_not_import_scripts(path):
  assert not imported_by(path) & set(SCRIPTS)


def test_no_imports_go_round_in_a_circle():
  done = set()

  def visit(path, above):
    assert path not in above, " -> ".join(map(name_of, [*above, path]))
    if path not in done:
      for found in imported_by(path):
        visit(found, [*above, path])
      done.add(path)

  for path in OUR_FILES:
    visit(path, [])


@each([p for p in LIBRARIES if name_of(p).removesuffix(".py") in LIGHT])
def test_light_files_do_not_load_tensorflow_on_import(path):
  modules = imported_modules(run_on_import(tree_of(path)))
  assert not [m for m, _ in modules if m.partition(".")[0] == "tensorflow"]
  for found, _ in our_imports(run_on_import(tree_of(path))):
    assert name_of(found).removesuffix(".py") in LIGHT


def library_files():
  """All libraries except the one that defines the flags."""
  return [p for p in LIBRARIES if p.stem != "flags"]


@each(library_files())
def test_libraries_take_arguments_not_flags(path):
  lines = [
    node.lineno
    for node in ast.walk(tree_of(path))
    if isinstance(node, (ast.Name, ast.Attribute))
    and dotted(node).rpartition(".")[2] == "FLAGS"
  ]
  assert not lines


@each(OUR_FILES)
def test_importing_defines_no_flag(path):
  made = calls(run_on_import(tree_of(path)))
  assert not [
    (name, line)
    for name, line in made
    if name.startswith("DEFINE_") or name == "define_flags"
  ]


@each(OUR_FILES)
def test_importing_leaves_tensorflow_as_it_was(path):
  switches = {"disable_v2_behavior", "enable_resource_variables"}
  made = calls(run_on_import(tree_of(path)))
  assert not [(name, line) for name, line in made if name in switches]


@each(OUR_FILES)
def test_no_pickle_is_loaded(path):
  nodes = list(ast.walk(tree_of(path)))
  assert not {module for module, _ in imported_modules(nodes)} & UNPICKLERS
  assert "torch.load" not in map(dotted, nodes)
  keywords = {node.arg for node in nodes if isinstance(node, ast.keyword)}
  assert "allow_pickle" not in keywords


@each(OUR_FILES)
def test_functions_are_short(path):
  long = [
    f"{path.name}:{node.lineno} {node.name}"
    for node in ast.walk(tree_of(path))
    if isinstance(node, FUNCTIONS)
    and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
  ]
  assert not long


@each(OUR_FILES)
def test_files_are_short(path):
  most = MAX_SCRIPT_LINES if path in SCRIPTS else MAX_LIBRARY_LINES
  assert path.read_text(encoding="utf-8").count("\n") <= most


@each(ALL_FILES)
def test_files_open_with_the_licence_and_a_docstring(path):
  first_line = path.read_text(encoding="utf-8").partition("\n")[0]
  assert first_line == (
    "# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0"
  )
  assert ast.get_docstring(tree_of(path))


@each(SCRIPTS)
def test_the_readme_names_the_file(path):
  readme = (ROOT / "README.md").read_text(encoding="utf-8")
  assert f"`{path.name}`" in readme


def test_protobuf_is_not_the_slow_python_one():
  assert api_implementation.Type() != "python"
