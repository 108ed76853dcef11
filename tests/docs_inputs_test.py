"""Every line of docs/inputs.md, and the README's PyTorch hook, do what they say."""

import importlib
import os
import pathlib
import re
import shlex
import warnings

import numpy as np
import pytest

import ovl
from ovl import cli
from ovl.about import About
from ovl.arrays import read
from ovl.run import Result

ROOT = pathlib.Path(__file__).parent.parent
LINE = re.compile(r"\| (?P<what>[^|]+) \| (?P<package>[a-z0-9]+) \| `(?P<code>.+)` \|")
LINES = LINE.findall((ROOT / "docs" / "inputs.md").read_text())
N = 240


def test_the_table_covers_what_people_have():
  assert len(LINES) == (ROOT / "docs" / "inputs.md").read_text().count("| `ovl")
  packages = {package for _, package, _ in LINES}
  assert packages >= {"numpy", "torch", "transformers", "keras", "pandas", "polars"}
  assert packages >= {"pyarrow", "h5py", "jax", "scipy"}


@pytest.fixture(scope="module")
def held():
  """What a person has, by the names of the page."""
  gen = np.random.default_rng(0)
  z = gen.normal(size=(N, 5)).astype(np.float32)
  s = gen.integers(0, 2, N)
  batches = [z[:100], z[100:200], z[200:]]
  masked = np.ma.masked_array(z, gen.random(z.shape) < 0.02)
  return {
    "np": np, "ovl": ovl, "z1": gen.normal(size=(N, 4, 4, 3)), "z2": z, "y": s[::-1],
    "sex": np.where(s, "f", "m"), "age": gen.integers(18, 78, N), "batches": batches,
    "postcode": gen.integers(100, 140, N) * 10, "person": np.arange(N) // 2,
    "masked": masked, "rows": ~np.ma.getmaskarray(masked).any(1),
    "z_of_model_0": z, "z_of_model_1": -z, "maps": gen.normal(size=(N, 3, 4, 6)),
    "sequences": gen.normal(size=(N, 4, 3)), "lengths": gen.integers(1, 5, N),
    "columns": [f"x{i}" for i in range(5)],
  }  # fmt: skip


def frame_of(held):
  columns = dict(zip(held["columns"], held["z2"].T, strict=True))
  return columns | {name: held[name] for name in ("sex", "age", "person")}


def prepare(package, held):
  """What a line needs beside the arrays."""
  library = pytest.importorskip(package)
  found = dict(held)
  if package == "jax":
    found["jnp"] = library.numpy
  elif package == "torch":
    found["tensor"] = library.tensor(held["z2"]).half().requires_grad_()
  elif package == "scipy":
    found["csr"] = importlib.import_module("scipy.sparse").csr_matrix(held["z2"])
  elif package == "h5py":
    with library.File("acts.h5", "w") as file:
      file["fc"] = held["z2"]
    found["h5py"] = library
  elif package == "pandas":
    found["frame"] = library.DataFrame(frame_of(held)).convert_dtypes()
    found["frame"]["embedding"] = list(held["z2"])
  elif package == "polars":
    found["frame"] = library.DataFrame(frame_of(held))
  elif package == "pyarrow":
    found |= {"table": library.table(frame_of(held)), "pyarrow": library}
  elif package == "transformers":
    found |= of_transformers(library)
  elif package == "keras":
    inputs = library.Input((5,))
    hidden = library.layers.Dense(4, activation="relu", name="hidden")(inputs)
    found["model"] = library.Model(inputs, library.layers.Dense(2, name="out")(hidden))
    found |= {"x": held["z2"], "keras": library}
  return found


def of_transformers(library):
  torch = pytest.importorskip("torch")
  config = library.BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=8, max_position_embeddings=16,
  )  # fmt: skip
  gen = torch.Generator().manual_seed(0)
  mask = (torch.arange(6) < torch.randint(1, 7, (N, 1), generator=gen)).long()
  batch = {
    "input_ids": torch.randint(0, 50, (N, 6), generator=gen), "attention_mask": mask
  }  # fmt: skip
  model = library.BertModel(config).eval()
  with torch.no_grad():
    out = model(**batch, output_hidden_states=True)
  return {"batch": batch, "out": out, "torch": torch, "model": model}


def write_files(held):
  sex, age, postcode = held["sex"], held["age"], held["postcode"]
  np.savez("acts.npz", **{"taps/fc": held["z2"], "attributes/sex": sex})
  sequences = {"taps/enc": held["sequences"], "attributes/sex": sex}
  np.savez("sequences.npz", **sequences, lengths=held["lengths"])
  np.save("x.npy", held["z2"])
  np.save("y.npy", held["y"])
  for folder in ("folder", "parquet"):
    os.makedirs(f"{folder}/taps")
    np.save(f"{folder}/taps/fc.npy", held["z2"])
  rows = [f"{a},{b},{c}" for a, b, c in zip(sex, age, postcode, strict=True)]
  pathlib.Path("folder/attributes.csv").write_text("\n".join(["sex,age,zip", *rows]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("what", "package", "code"), LINES, ids=[x[0][:40] for x in LINES])
def test_every_line_of_the_page_runs(held, tmp_path, monkeypatch, what, package, code):
  monkeypatch.setenv("KERAS_BACKEND", "jax")
  monkeypatch.chdir(tmp_path)
  judged = []

  def judge(material, *rest):
    """Everything but the critics: they read lanes, wherever those came from."""
    judged.append(material)
    return Result([], About("audit", **material.about([]), config={}))

  monkeypatch.setattr(importlib.import_module("ovl.audit.api"), "judged", judge)
  names = prepare(package, held)
  write_files(held)
  if package == "pyarrow":
    from pyarrow import parquet

    columns = {"sex": held["sex"], "zip": held["postcode"]}
    parquet.write_table(names["pyarrow"].table(columns), "parquet/attributes.parquet")
  if not code.startswith("ovl "):
    eval(code, names)
  else:
    assert cli.main(shlex.split(code)) == 0
  assert len(judged) == (not code.startswith("ovl mi"))
  for subject in judged[0].subjects if judged else ():
    for z_SND in subject.taps.values():
      assert np.isfinite(np.asarray(z_SND)).all()


# ---- the README's hook -----------------------------------------------------------------


def snippet(word):
  """The block of the README that holds a word."""
  blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
  (found,) = [block for block in blocks if word in block]
  return found


def test_the_hook_of_the_readme_stores_what_layers_put_out(tmp_path, monkeypatch):
  torch = pytest.importorskip("torch")
  monkeypatch.chdir(tmp_path)

  class Odd(torch.nn.ReLU):
    """Its output is a tuple, a dict, or a half."""

    def __init__(self, form):
      super().__init__()
      self.form = form

    def forward(self, x):
      return self.form(super().forward(x))

  class Net(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
      self.relu = torch.nn.ReLU(inplace=True)
      self.tuple = Odd(lambda x: (x, None))
      self.dict = Odd(lambda x: {"last_hidden_state": x})
      self.low = Odd(lambda x: x.bfloat16())

    def forward(self, x):
      h = self.relu(self.conv(x))
      kept.setdefault("relu", []).append(h.clone())
      h = self.relu(h - 0.5)
      kept.setdefault("relu.2", []).append(h.clone())
      (h, _) = self.tuple(h)
      h = self.dict(h)["last_hidden_state"]
      out = self.low(h).float().sum((1, 2, 3))
      h.mul_(0).sub_(1)  # what comes after writes into what was put out
      return out

  torch.manual_seed(0)
  kept, x = {}, torch.randn(12, 3, 5, 5)
  names = {
    "model": Net(), "loader": [(x[:5], None), (x[5:10], None), (x[10:], None)],
    "device": "cpu", "y": np.arange(12) % 2, "sex": np.arange(12) % 3 % 2,
  }  # fmt: skip
  exec(snippet("register_forward_hook"), names)
  found = read("acts.npz")
  assert list(found.taps) == ["relu", "relu.2", "tuple", "dict", "low"]
  for name, batches in kept.items():
    z = torch.cat(batches).detach().numpy()
    np.testing.assert_array_equal(found.taps[name][0], np.moveaxis(z, 1, -1))
  for name in ("tuple", "dict"):
    np.testing.assert_array_equal(found.taps[name], found.taps["relu.2"])
  np.testing.assert_allclose(found.taps["low"], found.taps["relu.2"], rtol=0.01)


def test_the_transformers_lines_of_the_readme_run(monkeypatch):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    library = pytest.importorskip("transformers")
    names = of_transformers(library)

  class Batch(dict):
    def to(self, device):
      return self

  given = []
  monkeypatch.setattr(ovl, "audit", lambda *args, **how: given.append((args, how)))
  names |= {
    "tokenizer": lambda texts, **how: Batch(names["batch"]), "texts": [""] * N,
    "sex": np.arange(N) % 2, "ovl": ovl,
  }  # fmt: skip
  exec(snippet("output_hidden_states"), names)
  ((taps, attributes), how) = given[0]
  from ovl.arrays import arrays

  found = arrays(taps, attributes, **how)
  mask = names["batch"]["attention_mask"].numpy().astype(bool)
  last = names["out"].hidden_states[-1].numpy()
  expected = np.stack([z[real].mean(0) for z, real in zip(last, mask, strict=True)])
  np.testing.assert_allclose(found.taps["layer2.mean"][0], expected, atol=1e-5)
  assert found.taps["layer0.last"].shape == (1, N, 8)
