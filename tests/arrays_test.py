import mmap
import pickle

import numpy as np
import pytest

from ovl.arrays import arrays, read
from ovl.types import Attribute, BadInput

N = 12
SPLIT = ["train", "probe", "probe", "stop", "test", "test"] * 2
SEX = ["f", "m"] * 6


def taps(*shape):
  return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def is_mapped(z):
  while isinstance(z, np.ndarray):
    z = z.base
  return isinstance(z, mmap.mmap)


def write_folder(path, table, **kinds):
  (path / "attributes.csv").write_text(table, encoding="utf-8")
  for kind, named in kinds.items():
    (path / kind).mkdir()
    for name, z in named.items():
      np.save(path / kind / f"{name}.npy", z)
  return path


def test_one_model_gets_a_seed_axis_without_a_copy():
  z, flat = taps(N, 3, 2), taps(N)
  found = arrays({"conv": z, "fc": flat}, {"sex": SEX})
  assert found.taps["conv"].shape == (1, N, 3, 2)
  assert found.taps["fc"].shape == (1, N, 1)
  assert np.shares_memory(found.taps["conv"], z)
  assert found.seeds is None
  assert found.task is found.groups is found.split is None
  assert found.untrained == {}
  assert found.ids.tolist() == list(range(N))


def test_everything_is_taken_over():
  z = taps(2, N, 3)
  found = arrays(
    {"conv": z, "fc": z[..., 0]},
    {"sex": SEX, "age": range(N), "own": Attribute(np.zeros(N, np.int32), "discrete")},
    untrained={"fc": z[..., 1]},
    task=np.arange(N) % 3,
    groups=["a", "b", "c", "d", "e", "f"] * 2,
    split=SPLIT,
    ids=[f"row{i}" for i in range(N)],
    seeds=np.array([3, 5]),
    continuous=["age"],
  )
  assert found.seeds == (3, 5)
  assert {name: z.shape for name, z in found.taps.items()} == {
    "conv": (2, N, 3),
    "fc": (2, N, 1),
  }
  np.testing.assert_array_equal(found.untrained["fc"][..., 0], z[..., 1])
  assert found.attributes["sex"].labels == ("f", "m")
  assert found.attributes["age"].kind == "continuous"
  assert found.attributes["own"].labels == ()
  assert found.task.labels == ("0", "1", "2")
  assert found.groups.tolist() == [0, 1, 2, 3, 4, 5] * 2
  assert found.split.tolist() == SPLIT
  assert found.ids[3] == "row3"


def test_bfloat16_is_read():
  jnp = pytest.importorskip("jax.numpy")
  found = arrays({"fc": jnp.ones((N, 2), jnp.bfloat16)}, {"sex": SEX})
  assert found.taps["fc"].dtype == np.float32


GOOD = taps(N, 2)
HOLED = taps(N, 2)
HOLED[3, 1], HOLED[4, 0] = np.nan, np.inf
BAD = [
  ({"taps": GOOD}, "taps is of type ndarray"),
  ({"taps": {}}, "taps is empty"),
  ({"taps": {"fc": HOLED}}, "taps/fc has 2 NaN or infinite values of 24"),
  ({"taps": {"fc": GOOD.astype(float) * 1e300}}, "taps/fc has 24 NaN or infinite"),
  ({"taps": {"fc": SEX}}, "taps/fc has type str"),
  ({"taps": {"fc": np.ma.masked_greater(GOOD, 0)}}, "taps/fc has masked entries"),
  ({"taps": {"fc": [[1], [1, 2]]}}, "taps/fc is not an array"),
  ({"taps": {"fc": np.zeros((N, 0))}}, r"taps/fc has shape \(12, 0\)"),
  ({"taps": {"fc": np.float32(1)}}, r"taps/fc has shape \(\)"),
  ({"taps": {"fc": GOOD, "out": GOOD[:5]}}, "taps/out has 5 rows, but taps/fc has 12"),
  ({"taps": {"fc": taps(3, N, 2)}}, "attributes/sex has 12 rows(.|\n)*.*give seeds"),
  ({"attributes": SEX}, "attributes is of type list"),
  ({"attributes": {}}, "attributes is empty"),
  ({"attributes": {"sex": SEX[:9]}}, "attributes/sex has 9 rows, but taps/fc has 12"),
  ({"attributes": {"sex": [[1]] * N}}, r"attributes/sex has shape \(12, 1\)"),
  ({"attributes": {"age": [0.5, np.inf] * 6}}, "attributes/age has 6 infinite"),
  ({"untrained": GOOD}, "untrained is of type ndarray"),
  ({"untrained": {"fc1": GOOD}}, "untrained/fc1 has no tap; did you mean 'fc'?"),
  ({"untrained": {"fc": GOOD[:, :1]}}, r"untrained/fc has shape \(1, 12, 1\)"),
  ({"untrained": {"fc": HOLED}}, "untrained/fc has 2 NaN"),
  ({"task": np.linspace(0, 1, N)}, "task is continuous"),
  ({"task": [None, *SEX[1:]]}, "task has 1 missing"),
  ({"task": SEX[:4]}, "task has 4 rows"),
  ({"groups": [None, *SEX[1:]]}, "groups has 1 missing"),
  ({"groups": SEX[:4]}, "groups has 4 rows"),
  ({"groups": SEX, "split": SPLIT}, "split tears 2 groups apart"),
  ({"split": ["tests", *SPLIT[1:]]}, "split .* 'tests'; did you mean 'test'?"),
  ({"split": ["train", "probe", "test"] * 4}, "split has no row 'stop'"),
  ({"split": SPLIT[:6]}, "split has 6 rows"),
  ({"ids": SEX}, "ids repeats 10 values"),
  ({"ids": [[1]] * N}, "ids has shape"),
  ({"ids": range(3)}, "ids has 3 rows"),
  ({"seeds": (0, 1)}, "seeds names 2 models, but taps/fc has shape"),
  ({"seeds": 8}, "seeds=8, expected one integer a model"),
  ({"seeds": (0.5,)}, "seeds=.*expected one integer"),
  ({"seeds": (1, 1)}, r"seeds=\[1, 1\] repeats"),
  ({"continuous": ["sexx"]}, "continuous names 'sexx'.*did you mean 'sex'?"),
]


@pytest.mark.parametrize(("change", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_input_names_the_argument(change, says):
  given = {"taps": {"fc": GOOD}, "attributes": {"sex": SEX}} | change
  with pytest.raises(BadInput, match=f"^{says}") as error:
    arrays(**given)
  assert len(str(error.value).splitlines()) <= 4


def test_npz_round_trip(tmp_path):
  z = taps(2, N, 3)
  np.savez(
    tmp_path / "acts.npz",
    **{"taps/fc10": z, "taps/fc2": z, "untrained/fc2": -z, "attributes/sex": SEX},
    **{"attributes/years": np.arange(N), "task": SEX, "groups": SPLIT, "split": SPLIT},
    **{"id": np.arange(N) + 5, "seeds": np.array([1, 4])},
  )
  found = read(tmp_path / "acts.npz", continuous=("years",))
  assert list(found.taps) == ["fc10", "fc2"]
  np.testing.assert_array_equal(found.taps["fc2"], z)
  np.testing.assert_array_equal(found.untrained["fc2"], -z)
  assert found.attributes["sex"].labels == ("f", "m")
  assert found.attributes["years"].kind == "continuous"
  assert found.task.labels == ("f", "m")
  assert found.groups.max() == 3
  assert found.split.tolist() == SPLIT
  assert found.ids[0] == 5
  assert found.seeds == (1, 4)


def test_folder_stays_on_disk(tmp_path):
  table = "sex, age ,half,task,group,split,id\n" + "".join(
    f"{'' if i == 0 else SEX[i]},{i},{i / 2 if i else ''},{i % 2},g{i},{SPLIT[i]},n{i}\n"
    for i in range(N)
  )
  z = taps(N, 3)
  path = write_folder(
    tmp_path, "\ufeff" + table, taps={"fc10": z, "fc2": z}, untrained={"fc2": z}
  )
  found = read(path)
  assert list(found.taps) == ["fc2", "fc10"]
  assert is_mapped(found.taps["fc2"])
  assert is_mapped(found.untrained["fc2"])
  np.testing.assert_array_equal(found.taps["fc2"][0], z)
  assert {name: a.kind for name, a in found.attributes.items()} == {
    "sex": "discrete",
    "age": "discrete",
    "half": "continuous",
  }
  assert found.attributes["sex"].values.tolist() == [-1, 1, *[0, 1] * 5]
  assert np.isnan(found.attributes["half"].values[0])
  assert found.task.labels == ("0", "1")
  assert len(set(found.groups)) == N
  assert found.ids[2] == "n2"
  assert found.seeds is None


def test_folder_with_seeds_and_small_chunks(tmp_path, monkeypatch):
  monkeypatch.setattr("ovl.inputs.checks.CHUNK", 5)
  table = "sex\n" + "\n".join(SEX)
  path = write_folder(tmp_path, table, taps={"fc": np.stack([GOOD, GOOD * np.nan])})
  np.save(path / "seeds.npy", [0, 1])
  with pytest.raises(BadInput, match="taps/fc has 24 NaN or infinite values of 48"):
    read(path)


class Loud:
  def __reduce__(self):
    return pytest.fail, ("unpickled",)


@pytest.mark.parametrize("place", ["taps", "attributes", "untrained"])
def test_objects_are_never_unpickled(tmp_path, place):
  loud = np.array([Loud()] * N)
  parts = {"taps/a": GOOD, "attributes/a": SEX, f"{place}/b": loud}
  np.savez(tmp_path / "acts.npz", **parts)
  with pytest.raises(BadInput, match=f"acts.npz: key '{place}/b' cannot be read"):
    read(tmp_path / "acts.npz")


def test_objects_in_a_folder_are_never_unpickled(tmp_path):
  path = write_folder(tmp_path, "sex\n1\n", taps={"fc": np.array([Loud()])})
  with pytest.raises(BadInput, match=r"taps: fc.npy cannot be read"):
    read(path)


@pytest.mark.parametrize(
  ("keys", "says"),
  [
    (["tap/fc", "attributes/sex"], "unknown key 'tap/fc'; did you mean 'taps/fc'?"),
    (["taps/fc", "attributes/sex", "grups"], "'grups'; did you mean 'groups'?"),
    (["taps/fc", "attributes/sex", "taps"], "unknown key 'taps'"),
    (["taps/fc"], "no key attributes/NAME; has taps/fc"),
    (["attributes/sex"], "no key taps/NAME; has attributes/sex"),
    ([], "no key taps/NAME; has nothing"),
  ],
)
def test_npz_keys_are_named(tmp_path, keys, says):
  np.savez(tmp_path / "acts.npz", **{key: np.arange(N) for key in keys})
  with pytest.raises(BadInput, match=f"acts.npz.*{says}"):
    read(tmp_path / "acts.npz")


def test_unreadable_files(tmp_path):
  (tmp_path / "acts.npz").write_bytes(pickle.dumps("no zip"))
  with pytest.raises(BadInput, match=r"acts.npz is not an npz"):
    read(tmp_path / "acts.npz")
  with pytest.raises(BadInput, match=r"act.npz does not exist; did you mean 'acts.npz'"):
    read(tmp_path / "act.npz")
  with pytest.raises(BadInput, match=r"none/act.npz does not exist"):
    read(tmp_path / "none" / "act.npz")
  np.savez(tmp_path / "torn.npz", **{"taps/fc": taps(N, 50)})
  whole = (tmp_path / "torn.npz").read_bytes()
  (tmp_path / "torn.npz").write_bytes(whole[:300] + b"?" * 50 + whole[350:])
  with pytest.raises(BadInput, match=r"torn.npz: key 'taps/fc' cannot be read"):
    read(tmp_path / "torn.npz")


@pytest.mark.parametrize(
  ("table", "says"),
  [
    ("", "attributes.csv has no rows"),
    ("sex\n", "attributes.csv has no rows"),
    ("sex,age\n1\n", "attributes.csv: row 2 has 1 cells, not 2"),
    ("sex,sex\n1,2\n", "attributes.csv: column 'sex' comes twice"),
    ("sex,group,groups\n1,2,3\n", "attributes.csv: column 'groups' comes twice"),
    ("task\n1\n", "attributes is empty"),
    ("sex\nm\nf\n", "attributes/sex has 2 rows, but taps/fc has 12"),
  ],
)
def test_bad_tables_are_named(tmp_path, table, says):
  with pytest.raises(BadInput, match=f"^{says}"):
    read(write_folder(tmp_path, table, taps={"fc": GOOD}))


def test_incomplete_folders(tmp_path):
  (tmp_path / "attribute.csv").touch()
  with pytest.raises(BadInput, match="has no taps"):
    read(tmp_path)
  (tmp_path / "taps").mkdir()
  with pytest.raises(BadInput, match=r"no attributes.csv; did you mean 'attribute.csv'"):
    read(tmp_path)
  (tmp_path / "attributes.csv").write_bytes(b"sex\n\xff\n")
  with pytest.raises(BadInput, match=r"attributes.csv cannot be read"):
    read(tmp_path)
  (tmp_path / "attributes.csv").write_text("sex\n1\n")
  with pytest.raises(BadInput, match=r"taps has no .npy file"):
    read(tmp_path)


@pytest.mark.parametrize(
  "words",
  [
    ["1_23", "12_3"], ["007", "7"], ["0x1", "1"], ["1e3", "1000"], ["1", "1.0"],
    ["+1", "1"], ["0", "-0"], ["\uff11", "1"],
    ["12345678901234567890123", "12345678901234567890124"],
  ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["group", "groups"])
def test_units_of_a_table_with_two_spellings_are_two(tmp_path, words, column):
  rows = "".join(f"{i % 2},{words[i % 4 // 2]}\n" for i in range(N))
  found = read(write_folder(tmp_path, f"sex,{column}\n{rows}", taps={"fc": taps(N)}))
  assert found.groups.tolist() == [found.groups[0]] * 2 + [found.groups[2]] * 2 + [
    found.groups[i % 4] for i in range(4, N)
  ]
  assert found.groups[0] != found.groups[2]


def test_ids_with_leading_zeros_are_not_the_same(tmp_path):
  ids = ["7", "07", "007", "1_2", "12", *(str(i) for i in range(20, 27))]
  rows = "".join(f"{i % 2},{name}\n" for i, name in enumerate(ids))
  found = read(write_folder(tmp_path, f"sex,id\n{rows}", taps={"fc": taps(N)}))
  assert found.ids.tolist() == ids


@pytest.mark.parametrize(
  ("words", "kind", "classes"),
  [
    (["02139", "2139"], "discrete", 2),  # where a person lives
    (["1_0", "10"], "discrete", 2),
    (["1", "10"], "discrete", 2),
    (["05.3", "5.3", "-1e-3", ".5"], "continuous", 3),
    (["1.0", "+1", "2"], "discrete", 2),
  ],
)
def test_attributes_of_a_table_are_numbers_where_they_are_written_so(
  tmp_path, words, kind, classes
):
  rows = "".join(f"{words[i % len(words)]}\n" for i in range(N))
  found = read(write_folder(tmp_path, f"what\n{rows}", taps={"fc": taps(N)}))
  column = found.attributes["what"]
  assert column.kind == kind
  assert len(np.unique(column.values)) == classes
