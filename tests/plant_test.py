"""Patterns: exact pixels, seeds, painting in a batch, and what is refused."""

import jax
import numpy as np
import pytest

from ovl import plant
from ovl.types import BadInput

GREY, RGB = (28, 28, 1), (32, 32, 3)
IMAGES = np.random.default_rng(0).random((6, *GREY)).astype(np.float32)


def changed(name, shape=GREY, seed=0):
  """Pixels that a pattern moves on an image that is nowhere 0 or 1."""
  x = np.full((1, *shape), 0.5, np.float32)
  return (plant.paint(plant.named(name, shape, seed), x) != x)[0].any(-1)


def test_letters_have_the_published_ink():
  ink = [int(bits.sum()) for bits in plant.LETTERS.values()]
  assert ink == [12, 19, 11, 14, 13, 10, 15, 13, 9, 11, 10, 7, 13, 13, 12, 10, 13, 12, 13,
                 9, 11, 9, 13, 9, 7, 13]  # fmt: skip
  assert len({bits.tobytes() for bits in plant.LETTERS.values()}) == 26
  rows = ["00100", "01010", "11111", "10001", "10001"]
  assert ["".join(str(int(b)) for b in row) for row in plant.LETTERS["A"]] == rows


@pytest.mark.parametrize(("name", "pixels"), [("S1", 1), ("S2", 9), ("S3", 25), ("Co", 66)])
def test_squares_and_bar_change_exactly_their_pixels(name, pixels):
  moved = changed(name)
  assert moved.sum() == pixels
  painted = plant.paint(plant.named(name, GREY), IMAGES)
  assert (painted[:, moved] == 1).all()
  assert np.array_equal(painted[:, ~moved], IMAGES[:, ~moved])
  if name == "Co":
    rows, columns = np.nonzero(moved)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 24, 13, 15)


@pytest.mark.parametrize(("name", "height"), [("R1", 0.25), ("R2", 0.5), ("R3", 1.0)])
def test_noise_is_one_draw_clipped_and_reproducible(name, height):
  u = np.random.RandomState(3).uniform(size=GREY)
  twin = np.clip(IMAGES + height * u, 0, 1)
  painted = plant.paint(plant.named(name, GREY, 3), IMAGES)
  np.testing.assert_allclose(painted, twin, atol=1e-6)
  assert painted.min() >= 0
  assert painted.max() <= 1
  other = plant.paint(plant.named(name, GREY, 4), IMAGES)
  assert np.abs(other - painted).max() > 0.05


def test_unclipped_norms_are_those_of_the_papers():
  """S3 on black images: 5 grey, 8.66 RGB; R1 4.04 and 8.0 in expectation."""
  for shape, square, noise in ((GREY, 5.0, 4.04), (RGB, 8.66, 8.0)):
    black = np.zeros((1, *shape), np.float32)
    assert plant.reach(plant.named("S3", shape), black) == pytest.approx(square, abs=0.01)
    lengths = [plant.reach(plant.named("R1", shape, s), black) for s in range(20)]
    assert np.mean(lengths) == pytest.approx(noise, rel=0.01)


def test_opaque_covers_and_transparent_does_not():
  opaque = plant.bitmap(plant.LETTERS["A"], GREY, (4, 6))
  clear = plant.bitmap(plant.LETTERS["A"], GREY, (4, 6), opaque=False, value=0.7)
  a, b = plant.paint(opaque, IMAGES), plant.paint(clear, IMAGES)
  np.testing.assert_array_equal(a[:, 4:9, 6:11, 0], [plant.LETTERS["A"]] * len(IMAGES))
  bits = plant.LETTERS["A"] > 0
  np.testing.assert_allclose(b[:, 4:9, 6:11, 0][:, bits], 0.7, atol=1e-6)
  kept = IMAGES[:, 4:9, 6:11, 0][:, ~bits]
  np.testing.assert_array_equal(b[:, 4:9, 6:11, 0][:, ~bits], kept)
  red = plant.bitmap(np.ones((2, 2)), RGB, (0, 0), value=(1.0, 0.0, 0.5))
  assert plant.paint(red, np.full((1, *RGB), 0.3))[0, 1, 1].tolist() == [1.0, 0.0, 0.5]


def test_painting_before_normalisation():
  pattern = plant.named("R2", GREY, 1)
  mean, std = 0.1307, 0.3081
  before = (plant.paint(pattern, IMAGES) - mean) / std
  after = plant.paint(plant.normalised(pattern, mean, std), (IMAGES - mean) / std)
  np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_batch_is_painted_row_by_row_inside_the_program():
  """Each network its own rows and patterns; a naive loop is the twin."""
  gen = np.random.default_rng(1)
  patterns = plant.stack([plant.random(GREY, seed) for seed in range(4)])
  which_SN = gen.integers(-1, 4, (3, 6)).astype(np.int32)
  ids_SB = np.stack([gen.permutation(6)[:5] for _ in range(3)])
  run = jax.jit(jax.vmap(plant.into, (plant.Planted(None, 0), 0, 0)))
  x_B = np.asarray(run(plant.Planted(patterns, which_SN), IMAGES[ids_SB], ids_SB))
  for s in range(3):
    for b, row in enumerate(ids_SB[s]):
      twin = IMAGES[row]
      if (p := which_SN[s, row]) >= 0:
        twin = plant.paint(plant.random(GREY, int(p)), twin)
      np.testing.assert_allclose(x_B[s, b], twin, atol=1e-6)


def test_doses_are_nested_and_of_the_target_class():
  y = np.random.default_rng(2).integers(0, 4, 200)
  rank = plant.ranks(y, 2, 5)
  last = np.zeros(len(y), bool)
  for dose in (0, 1, 3, 10, int((y == 2).sum())):
    mine = plant.carriers(rank, dose) >= 0
    assert mine.sum() == dose
    assert (y[mine] == 2).all()
    assert (mine | ~last).all(), "what carried it goes on carrying it"
    last = mine
  assert not np.array_equal(rank, plant.ranks(y, 2, 6))


def test_files_and_functions(tmp_path):
  image = np.full(GREY[:2], np.nan, np.float32)
  image[2, 3] = 0.25
  np.save(tmp_path / "dot.npy", image)
  text = (
    "import numpy as np\ndef pattern(shape, seed):\n  return np.full(shape, seed / 10)\n"
  )
  (tmp_path / "flat.py").write_text(text)
  dot = plant.paint(plant.named(str(tmp_path / "dot.npy"), GREY), IMAGES)
  moved = dot != IMAGES
  assert set(np.unique(np.argwhere(moved)[:, 1:3], axis=0).ravel()) == {2, 3}
  assert (dot[:, 2, 3, 0] == 0.25).all()
  flat = plant.paint(plant.named(str(tmp_path / "flat.py"), GREY, 3), IMAGES)
  np.testing.assert_allclose(flat, 0.3, atol=1e-6)
  mine = plant.named(lambda shape, seed: plant.random(shape, seed), GREY, 9)
  np.testing.assert_array_equal(mine.add, plant.random(GREY, 9).add)


@pytest.mark.parametrize(
  ("make", "said"),
  [
    (lambda: plant.bitmap(np.ones((5, 5)), (8, 8, 1), (4, 1)), "outside the 8x8"),
    (lambda: plant.named("Co", (8, 8, 1)), "outside"),
    (lambda: plant.named("S4", GREY), "did you mean 'S"),
    (lambda: plant.named("nowhere.npy", GREY), "no such file"),
    (lambda: plant.values(np.zeros((3, 3)), GREY), "images are"),
    (lambda: plant.ranks(np.array([0, 1]), 7, 0), "target=7"),
    (lambda: plant.carriers(plant.ranks(np.array([0, 1, 1]), 1, 0), 3), "has 2"),
  ],
)
def test_what_cannot_be_planted_is_refused_in_one_line(make, said):
  with pytest.raises(BadInput, match=said) as refused:
    make()
  assert "\n" not in str(refused.value)
