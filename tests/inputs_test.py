"""What people bring: tables as text, Parquet and Arrow; holders of other libraries."""

import zipfile

import ml_dtypes
import numpy as np
import pytest
from scipy import sparse

from ovl import inputs
from ovl.arrays import arrays, read
from ovl.inputs import table
from ovl.mi import data
from ovl.types import BadInput

N = 24
GEN = np.random.default_rng(0)
Z = GEN.normal(size=(N, 3)).astype(np.float32)
SEX = ["m", "f"] * (N // 2)


def columns(tmp_path, text, name="attributes.csv", encoding="utf-8"):
  path = tmp_path / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
  return table.read(path)


# ---- delimited text --------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_as_it_was_written(tmp_path, delimiter, end, encoding):
  rows = [["name", "age", "x"], ["Zoë", "31", "1.5"], ['"a, b; c\td|e"', "NA", "-2e3"]]
  text = end.join(delimiter.join(row) for row in rows) + end
  found, notes, _ = columns(tmp_path, text, encoding=encoding)
  assert list(found["name"]) == ["Zoë", "a, b; c\td|e"]
  assert list(found["age"]) == [31, None]
  assert list(found["x"]) == [1.5, -2000.0]
  assert len(notes) == (delimiter != ",") + (not encoding.startswith("utf-8"))


@pytest.mark.parametrize(
  ("cells", "expected"),
  [
    (["1_11", "11_1"], ["1_11", "11_1"]),
    (["007", "7"], ["007", "7"]),
    (["1", "", "3"], [1, None, 3]),
    (["1.5", "NA", "nan", "null", "N/A", "None", "?", "."], [1.5] + [None] * 7),
    (["Private", "?", "State"], ["Private", None, "State"]),
    (["a", "?", "!"], ["a", "?", "!"]),
    (["+", "-"], ["+", "-"]),
    (["True", "False"], ["True", "False"]),
    (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
    (["0x1", "1"], ["0x1", "1"]),
    (["1,5", "2,25"], ["1,5", "2,25"]),
  ],
)
def test_cells_are_numbers_only_where_all_are(tmp_path, cells, expected):
  body = "".join(f'"{cell}",x\n' for cell in cells)
  assert list(columns(tmp_path, f"what,z\n{body}")[0]["what"]) == expected


def test_blanks_behind_delimiters_are_no_content(tmp_path):
  found, *_ = columns(tmp_path, 'age, name\n3, "a, b"\n 4, c \n\n')
  assert {name: list(column) for name, column in found.items()} == {
    "name": ["a, b", "c"], "age": [3, 4],
  }  # fmt: skip


def test_decimal_commas_where_semicolons_part_the_cells(tmp_path):
  found, *_ = columns(tmp_path, "x;y;id\n1,5;3;1,5\n-0,25;4;2,5\n")
  assert list(found["x"]) == [1.5, -0.25]
  assert list(found["y"]) == [3, 4]
  assert list(found["id"]) == ["1,5", "2,5"]


@pytest.mark.parametrize(
  "text",
  [
    ",sex\n0,m\n1,f\n2,m\n",
    ",sex\n7,m\n3,f\n7,m\n",  # of a shuffled, of a concatenated frame
    "Unnamed: 0,sex\n0,m\n1,f\n2,m\n",
    '"","sex"\n"1","m"\n"2","f"\n"3","m"\n',  # write.csv of R
    "index,sex\n0,m\n1,f\n2,m\n",
    "Unnamed: 0,,sex\n0,0,m\n1,1,f\n2,2,m\n",
    ",sex\nann,m\nbo,f\ncy,m\n",
    "sex,\nm,\nf,\nm,\n",
  ],
)
def test_an_index_is_left_out_with_a_word(tmp_path, text):
  found, notes, _ = columns(tmp_path, text)
  assert list(found) == ["sex"]
  assert list(found["sex"]) == ["m", "f", "m"]
  assert all("left out" in note for note in notes)


@pytest.mark.parametrize(
  ("cell", "said"),
  [
    ("12a", ["attributes.csv: row 9, column age is '12a' where nearly all are numbers"]),
    ("007", []),
    ("1_1", []),
    ("NA", []),
    ("3", []),
  ],
)
def test_a_slip_in_a_column_of_numbers_is_said_with_its_place(tmp_path, cell, said):
  cells = [str(i) for i in range(20)]
  cells[7] = cell
  _, _, doubts = columns(tmp_path, "sex,age\n" + "".join(f"m,{c}\n" for c in cells))
  assert [doubt.partition(":")[0] + ":" + doubt.split(":")[1] for doubt in doubts] == said


def test_a_column_called_index_that_counts_nothing_stays(tmp_path):
  assert list(columns(tmp_path, "index,x\n3,1\n3,2\n9,1\n")[0]) == ["index", "x"]


@pytest.mark.parametrize(
  ("text", "says"),
  [
    (b"sex,age\nm,1\nZo\xeb,2\n", "row 3 is no utf-8 .byte 0xeb.(.|\n)*UTF-8"),
    ("sex,age\nm,1\nf\n", "row 3 has 1 cells, not 2 as the header .sex, age."),
    ('sex,age\n"m,1\nf,2\n', "cannot be read: row 3: unexpected end"),
    ("sex,\nm,a\nf,a\n", "column 2 has no name"),
    ("sex,age,age\nm,1,1\n", "column 'age' comes twice"),
    (",\n1,\n", "no column with a name"),
  ],
)
def test_text_that_cannot_be_read_names_the_place(tmp_path, text, says):
  with pytest.raises(BadInput, match=f"^attributes.csv.*{says}") as error:
    columns(tmp_path, text)
  assert len(str(error.value).splitlines()) <= 4


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow"])
def test_parquet_and_arrow(tmp_path, kind):
  pandas, pa = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
  frame = pandas.DataFrame(
    {
      "sex": pandas.Series(SEX).mask(lambda s: s.index == 3),
      "age": pandas.Series(range(N), dtype="Int64").mask(lambda s: s == 2),
      "score": GEN.normal(size=N),
      "site": pandas.Categorical(np.arange(N) % 3 + 100),
      "group": [f"{i // 2:03}" for i in range(N)],
    },
    index=np.arange(N)[::-1],
  )
  path = tmp_path / f"attributes.{kind}"
  if kind == "parquet":
    frame.to_parquet(path)
  else:
    from pyarrow import feather

    feather.write_feather(pa.Table.from_pandas(frame), str(path))
  (tmp_path / "taps").mkdir()
  np.save(tmp_path / "taps" / "fc.npy", Z)
  found = read(tmp_path)
  held = found.attributes
  assert {name: one.kind for name, one in held.items()} == {
    "sex": "discrete", "age": "continuous", "score": "continuous", "site": "discrete",
  }  # fmt: skip
  assert (~held["sex"].known).sum() == (~held["age"].known).sum() == 1
  assert held["site"].labels == ("100", "101", "102")
  assert found.groups.max() == N // 2 - 1
  assert any("left out" in note for note in found.notes)


def test_files_that_are_no_table(tmp_path):
  pytest.importorskip("pyarrow")
  with pytest.raises(BadInput, match=r"^attributes.parquet cannot be read by pyarrow"):
    columns(tmp_path, b"PAR1 no", "attributes.parquet")


# ---- holders ---------------------------------------------------------------------------


def held_numbers():
  """(name, holder) of the same numbers."""
  values = np.array([[0.5, -1.5], [2.0, 4.0], [8.0, 0.25]])
  for dtype in ("float16", "float32", "float64", "longdouble"):
    yield dtype, values.astype(dtype)
  for name in ("bfloat16", "float8_e5m2", "float8_e4m3fn"):
    yield name, values.astype(getattr(ml_dtypes, name))
  yield "bfloat16 of an npz", values.astype(ml_dtypes.bfloat16).view("V2")
  yield "unmasked", np.ma.masked_array(values, np.zeros((3, 2), bool))
  yield "lists", values.tolist()
  yield "rows", list(values)
  yield "cells of vectors", np.array([None, *values], object)[1:]
  yield "generator", (row for row in values)


@pytest.mark.parametrize(("name", "values"), list(held_numbers()))
def test_numbers_of_numpy(name, values):
  got = inputs.numbers(values, "z")
  assert got.dtype.kind == "f"
  np.testing.assert_array_equal(got, [[0.5, -1.5], [2.0, 4.0], [8.0, 0.25]])


def test_nothing_is_copied_that_need_not_be():
  assert np.shares_memory(inputs.numbers(Z, "z"), Z)


def test_numbers_of_jax():
  jnp = pytest.importorskip("jax.numpy")
  for dtype in (jnp.bfloat16, jnp.float8_e4m3fn, jnp.float32):
    np.testing.assert_array_equal(inputs.numbers(jnp.ones((3, 2), dtype), "z"), 1)


def test_numbers_of_torch():
  torch = pytest.importorskip("torch")
  z = torch.tensor([[0.5, 2.0]])
  for same in (z, z.clone().requires_grad_(), z.bfloat16(), z.half(), z.double(), [z[0]]):
    np.testing.assert_array_equal(inputs.numbers(same, "z"), [[0.5, 2.0]])
  np.testing.assert_array_equal(inputs.numbers(z.to(torch.float8_e5m2), "z"), [[0.5, 2.0]])
  assert inputs.plain([torch.tensor(1), torch.tensor(0)], "s").tolist() == [1, 0]
  for bad, says in (
    (z.to_sparse(), r"sparse.*to_dense\(\)"),
    (torch.ones(2, 2, device="meta"), "not an array(.|\n)*detach"),
    ([z, z], r"np.concatenate\(z\)"),
    ([torch.ones(2, 2), torch.ones(1, 2)], "np.concatenate"),
  ):
    with pytest.raises(BadInput, match=f"^taps/z.*(.|\n)*{says}") as error:
      inputs.numbers(bad, "taps/z")
    assert len(str(error.value).splitlines()) <= 4


def test_numbers_and_columns_of_pandas():
  pandas = pytest.importorskip("pandas")
  frame = pandas.DataFrame(Z)
  for same in (frame, frame.astype("Float32"), frame.astype(object)):
    np.testing.assert_array_equal(inputs.numbers(same, "z"), Z)
  np.testing.assert_array_equal(inputs.numbers(pandas.Series(list(Z)), "z"), Z)
  with pytest.raises(BadInput, match="z has 1 missing values"):
    inputs.numbers(frame.astype("Float32").mask(frame == Z[1, 1]), "z")
  with pytest.raises(BadInput, match="z has type str"):
    inputs.numbers(frame.assign(name="x"), "z")
  holed = pandas.Series([1, None, 0], dtype="Int64")
  named = {
    "i": holed, "b": holed.astype("boolean"), "s": holed.astype("string"),
    "c": pandas.Series(["m", None, "f"]).astype("category"), "o": [1, pandas.NA, 0],
    "t": pandas.Series(["m", pandas.NA, "f"], dtype=object),
  }  # fmt: skip
  found = arrays({"fc": Z[:3]}, named).attributes
  assert all(one.kind == "discrete" for one in found.values())
  assert all(one.known.tolist() == [True, False, True] for one in found.values())
  many = pandas.Series(np.arange(40) * 7)
  assert arrays({"fc": np.ones((40, 1))}, {"q": many}).attributes["q"].kind == "continuous"
  many = many.iloc[np.arange(80) // 2].astype("category")
  found = arrays({"fc": np.ones((80, 1))}, {"c": many})
  assert found.attributes["c"].kind == "discrete"
  assert found.doubts == ()
  with pytest.raises(BadInput, match="taps is a table"):
    arrays(frame, named)
  table = pandas.DataFrame({"sex": SEX, "age": np.arange(N) + 18})
  assert list(arrays({"fc": frame}, table).attributes) == ["sex", "age"]


def test_numbers_and_columns_of_polars():
  pl = pytest.importorskip("polars")
  np.testing.assert_array_equal(inputs.numbers(pl.DataFrame(Z), "z"), Z)
  np.testing.assert_array_equal(inputs.numbers(pl.Series(Z.tolist()), "z"), Z.tolist())
  for reads in (inputs.numbers, inputs.named):
    with pytest.raises(BadInput, match=r"z is a plan of polars and no data: z.collect\(\)"):
      reads(pl.LazyFrame(Z), "z")
  frame = pl.DataFrame(
    {"sex": ["m", None, "f"], "n": [1, None, 2], "b": [True, None, False]}
  )
  frame = frame.with_columns(c=pl.col("sex").cast(pl.Categorical))
  for one in arrays({"fc": Z[:3]}, frame).attributes.values():
    assert one.kind == "discrete"
    assert one.known.tolist() == [True, False, True]


def test_numbers_and_columns_of_arrow():
  pa = pytest.importorskip("pyarrow")
  big = 2**53 + 1
  held = pa.table({"sex": ["m", None, "f"], "n": [big, None, big - 1]})
  held = held.append_column("d", held["sex"].dictionary_encode())
  for one in arrays({"fc": Z[:3]}, held).attributes.values():
    assert one.known.tolist() == [True, False, True]
    assert len(one.labels) == 2
  np.testing.assert_array_equal(
    inputs.numbers(pa.table({"a": [1.0], "b": [2.0]}), "z"), [[1, 2]]
  )
  np.testing.assert_array_equal(inputs.numbers(pa.array([[1.0, 2.0]]), "z"), [[1, 2]])


def test_numbers_of_h5py(tmp_path):
  h5py = pytest.importorskip("h5py")
  with h5py.File(tmp_path / "a.h5", "w") as file:
    file["fc"], file["sex"] = Z, [s.encode() for s in SEX]
    found = arrays({"fc": file["fc"]}, {"sex": file["sex"]})
  np.testing.assert_array_equal(found.taps["fc"][0], Z)
  assert found.attributes["sex"].labels == ("f", "m")


class Foreign:
  def __init__(self, error):
    self.error = error

  def __array__(self, *args, **kwargs):
    raise self.error


@pytest.mark.parametrize(
  ("values", "says"),
  [
    (
      sparse.csr_matrix(Z),
      r"is sparse \(csr_matrix\), expected a dense array: z.toarray\(\)",
    ),
    (sparse.coo_array(Z), r"z.toarray\(\)"),
    (np.ma.masked_greater(Z, 0), "masked entries"),
    ([Z, Z], r"list of 2 arrays(.|\n)*np.concatenate\(z\)"),
    ([Z, Z[:3]], r"np.concatenate\(z\)"),
    ((Z, Z), r"np.stack\(z\)"),
    ([[1], [1, 2]], "unlike shapes"),
    (Foreign(RuntimeError("use tensor.detach()")), "is not an array: use tensor.detach"),
    (Foreign(KeyError("odd")), "is not an array"),
    (None, "is None, expected an array"),
    ({"a": Z}, "is of type dict"),
    ("abc", "is of type str"),
    (np.array(["a"]), "has type <U1"),
    (np.array([{}], object), "has type dict"),
    (np.array([1j]), "has type complex128"),
    (np.array(["2020"], "M8[D]"), "has type datetime64"),
    (Z.astype(ml_dtypes.float8_e4m3fn).view("V1"), r"float8(.|\n)*astype\(np.float32\)"),
    (np.zeros(2, [("a", "f4")]), "has type"),
  ],
)
def test_what_is_no_array_of_numbers_is_refused_with_the_remedy(values, says):
  with pytest.raises(BadInput, match=f"^taps/z (.|\n)*{says}") as error:
    inputs.numbers(values, "taps/z")
  assert len(str(error.value).splitlines()) <= 4


def test_a_list_of_models_is_stacked():
  assert arrays({"fc": [Z, -Z]}, {"sex": SEX}, seeds=(0, 1)).taps["fc"].shape == (2, N, 3)


def test_settings_of_numpy_are_numbers():
  import ovl

  z, s = GEN.normal(size=(200, 3)), np.arange(200) % 2
  found = ovl.audit(
    {"fc": z}, {"s": s}, critics=np.array(["linear"]), level=np.float32(0.9),
    seed=np.int64(1), max_width=np.int32(8),
  )  # fmt: skip
  assert found.meta["config"]["audit"]["max_width"] == 8
  found = ovl.mutual_information(z, s, "linear", seeds=np.int64(2), seed=np.uint8(1))
  assert np.isfinite(found.nats)


@pytest.mark.parametrize("verb", ["mutual_information", "certify", "effort"])
@pytest.mark.parametrize(
  "bad",
  [sparse.csr_matrix(Z), np.ma.masked_greater(Z, 0), [Z, Z], None, Foreign(TypeError())],
)
def test_every_verb_reads_alike(verb, bad):
  import ovl

  with pytest.raises(BadInput, match=r"^x (is|has)"):
    getattr(ovl, verb)(bad, SEX)
  with pytest.raises(BadInput, match=r"^y (is|has)"):
    getattr(ovl, verb)(Z, bad)


# ---- what messages say -----------------------------------------------------------------


@pytest.mark.parametrize(
  ("name", "says"),
  [
    ("acts.pt", r"torch.load it, and np.savez"),
    ("acts.safetensors", r"safetensors.numpy.load_file"),
    ("acts.pkl", r"nothing is unpickled here"),
    ("acts.h5", r"h5py.File\(PATH\)"),
    ("acts.mat", r"scipy.io.loadmat"),
    ("acts.csv", r"as attributes.csv .* of a folder with taps"),
    ("acts.npy", r"np.savez it as taps/NAME"),
    ("acts.npz", r"expected one, or a folder"),
  ],
)
def test_other_files_are_told_how_to_become_arrays(tmp_path, name, says):
  (tmp_path / name).write_bytes(b"what is inside")
  with pytest.raises(BadInput, match=f"{name} is not an npz(.|\n)*{says}") as error:
    read(tmp_path / name)
  assert len(str(error.value).splitlines()) <= 4


def test_a_checkpoint_of_torch_is_no_npz_although_it_is_a_zip(tmp_path):
  with zipfile.ZipFile(tmp_path / "acts.pt", "w") as file:
    file.writestr("data.pkl", b"")
  with pytest.raises(BadInput, match=r"torch.load it"):
    read(tmp_path / "acts.pt")


def test_objects_in_an_npz_are_told_how_to_be_saved(tmp_path):
  np.savez(tmp_path / "a.npz", **{"taps/fc": Z, "attributes/sex": np.array(SEX, object)})
  with pytest.raises(BadInput, match=r"key 'attributes/sex'(.|\n)*x.astype\(str\)"):
    read(tmp_path / "a.npz")


@pytest.mark.parametrize(
  ("change", "says"),
  [
    ({"split": ["train", "probe", "val", "test"] * 6}, "'val'; it is called 'stop' here"),
    ({"split": ["training", "probe", "stop", "test"] * 6}, "it is called 'train' here"),
    ({"taps": {"a": Z, "b": Z.repeat(2, 0)}}, "b has 2 times as many: a module"),
    ({"taps": {"b": Z.repeat(3, 0)}}, "taps/b has 3 times as many: a module"),
    ({"attributes": {"sex": SEX * 2}}, "2 times as many: a list of batches"),
    ({"taps": {"fc": Z.T}}, r"rows are the first axis: x.T turns them"),
    ({"attributes": {"name": [f"n{i}" for i in range(N)]}}, "24 classes in 24 rows"),
    ({"discrete": ["sexx"]}, "discrete names 'sexx', no attribute; did you mean 'sex'"),
    ({"taps": {"fc": np.where(Z[3, 1] == Z, np.nan, Z)}}, "first in row 3, column 1,"),
  ],
)
def test_arguments_that_do_not_fit_say_what_to_look_for(change, says):
  with pytest.raises(BadInput, match=f"(.|\n)*{says}") as error:
    arrays(**({"taps": {"fc": Z}, "attributes": {"sex": SEX}} | change))
  assert len(str(error.value).splitlines()) <= 4


# ---- information without a finite value -------------------------------------------------


@pytest.mark.parametrize(
  ("x", "y", "says"),
  [
    (lambda z: z, lambda z: z, "monotone"),
    (lambda z: z[:, 0], lambda z: np.exp(-3 * z[:, 0]), "monotone"),
    (lambda z: z, lambda z: z.sum(1), "linear"),
    (lambda z: z[:, :2].sum(1), lambda z: z, "linear"),
    (lambda z: z, lambda z: z @ GEN.normal(size=(3, 2)) * 1e9, "linear"),
    (lambda z: z, lambda z: z + 0.01 * GEN.normal(size=z.shape), ""),
    (lambda z: z, lambda z: z[:, 0] ** 2, ""),
    (lambda z: z[:, 0], lambda z: z[:, 1], ""),
  ],
)
def test_information_that_is_infinite_is_named(x, y, says):
  z = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
  said = data.determined(data.pair(x(z), y(z)))
  assert says in said if says else said == ""


def test_information_that_is_infinite_is_never_reliable():
  import ovl

  x = np.random.default_rng(0).normal(size=400)
  found = ovl.mutual_information(x, x, "cca")
  assert found.flag == "at_ceiling"
  assert "no finite value" in found.why


def test_one_array_of_a_file_by_its_name(tmp_path):
  z = np.arange(6.0).reshape(3, 2)
  np.save(tmp_path / "z.npy", z)
  np.savez(tmp_path / "acts.npz", **{"taps/fc": z, "s": [0, 1, 1]})
  np.savez(tmp_path / "one.npz", only=z)
  (tmp_path / "people.csv").write_text("sex,age\nf,31\nm,NA\nf,7\n")
  for place in ("z.npy", "acts.npz:taps/fc", "one.npz", "one.npz:only"):
    np.testing.assert_array_equal(inputs.array(tmp_path / place), z)
  assert list(inputs.array(f"{tmp_path}/people.csv:sex")) == ["f", "m", "f"]
  age = inputs.array(f"{tmp_path}/people.csv:age")
  assert (age[0], age[1], age[2]) == (31, None, 7) or np.isnan(float(age[1]))
  for place, said in (
    ("people.csv:sexx", "did you mean 'sex'"),
    ("people.csv", "no name: expected one of"),
    ("acts.npz:taps/fx", "did you mean 'taps/fc'"),
    ("z.npy:fc", "holds no names"),
    ("zz.npy", "does not exist; did you mean 'z.npy'"),
  ):
    with pytest.raises(BadInput, match=said):
      inputs.array(tmp_path / place)
