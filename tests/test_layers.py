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

# A file imports only from layers below its own.
LAYERS = (
  ("files", "tokenization", "tf_example", "metrics"),
  ("modeling", "optimization", "pretraining_instances", "answers"),
  ("features", "input_pipeline", "heads", "estimators", "common_flags"),
  ("inference", "training"),
  (
    "run_classifier",
    "run_squad",
    "run_ranker",
    "run_pretraining",
    "run_tagger",
    "create_vocab",
    "create_pretraining_data",
    "convert_checkpoint",
    "export_model",
    "predict",
    "extract_features",
  ),
)
LAYER_OF = {name: i for i, layer in enumerate(LAYERS) for name in layer}
SCRIPT_LAYER = len(LAYERS) - 1

ROOT_FILES = sorted(ROOT.glob("*.py"))
ALL_FILES = ROOT_FILES + sorted(
  path
  for folder in ("tests", "benchmarks")
  for path in ROOT.glob(f"{folder}/*.py")
)
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib"}
MAX_FUNCTION_LINES = 60


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
    if isinstance(child, (ast.FunctionDef, ast.Lambda)) or is_main_guard(child):
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


def library_files():
  return [
    path
    for path in ROOT_FILES
    if LAYER_OF.get(path.stem, SCRIPT_LAYER) < SCRIPT_LAYER
    and path.stem not in ("common_flags", "training")
  ]


def test_every_root_file_has_a_layer():
  assert {path.stem for path in ROOT_FILES} == set(LAYER_OF)


@each(ROOT_FILES)
def test_imports_come_from_lower_layers(path):
  own_layer = LAYER_OF[path.stem]
  wrong = [
    f"{path.name}:{line} imports {module}"
    for module, line in imported_modules(ast.walk(tree_of(path)))
    if LAYER_OF.get(module.partition(".")[0], -1) >= own_layer
  ]
  assert not wrong


@each([path for path in ROOT_FILES if LAYER_OF.get(path.stem) == 0])
def test_layer_0_does_not_load_tensorflow_on_import(path):
  modules = imported_modules(run_on_import(tree_of(path)))
  assert not [m for m, _ in modules if m.partition(".")[0] == "tensorflow"]


@each(library_files())
def test_libraries_take_arguments_not_flags(path):
  lines = [
    node.lineno
    for node in ast.walk(tree_of(path))
    if isinstance(node, (ast.Name, ast.Attribute))
    and dotted(node).rpartition(".")[2] == "FLAGS"
  ]
  assert not lines


@each(ROOT_FILES)
def test_importing_defines_no_flag(path):
  made = calls(run_on_import(tree_of(path)))
  assert not [
    (name, line)
    for name, line in made
    if name.startswith("DEFINE_") or name == "define_flags"
  ]


@each(ROOT_FILES)
def test_importing_leaves_tensorflow_as_it_was(path):
  switches = {"disable_v2_behavior", "enable_resource_variables"}
  made = calls(run_on_import(tree_of(path)))
  assert not [(name, line) for name, line in made if name in switches]


@each(ROOT_FILES)
def test_no_pickle_is_loaded(path):
  nodes = list(ast.walk(tree_of(path)))
  assert not {module for module, _ in imported_modules(nodes)} & UNPICKLERS
  assert "torch.load" not in map(dotted, nodes)
  keywords = {node.arg for node in nodes if isinstance(node, ast.keyword)}
  assert "allow_pickle" not in keywords


@each(ROOT_FILES)
def test_functions_are_short(path):
  long = [
    f"{path.name}:{node.lineno} {node.name}"
    for node in ast.walk(tree_of(path))
    if isinstance(node, ast.FunctionDef)
    and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
  ]
  assert not long


@each(ALL_FILES)
def test_files_open_with_the_licence_and_a_docstring(path):
  first_line = path.read_text(encoding="utf-8").partition("\n")[0]
  assert first_line == (
    "# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0"
  )
  assert ast.get_docstring(tree_of(path))


@each(ROOT_FILES)
def test_the_readme_names_the_file(path):
  readme = (ROOT / "README.md").read_text(encoding="utf-8")
  assert f"`{path.name}`" in readme


def test_protobuf_is_not_the_slow_python_one():
  assert api_implementation.Type() != "python"
