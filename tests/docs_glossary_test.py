"""The glossary names what there is, and says each word once."""

import pathlib
import re

import ovl

PAGE = (pathlib.Path(__file__).parent.parent / "docs" / "glossary.md").read_text()


def test_one_word_is_said_once():
  words = re.findall(r"^\| ([^|]+?) \| ", PAGE, re.M)
  words = [w for line in words if line != "word" for w in line.split(", ")]
  assert len(words) > 60
  again = {w for w in words if words.count(w) > 1}
  assert again == {"penalty"}  # a use of a critic, and the subject that comes of it
  assert PAGE.count("Theil's U") == PAGE.count("uncertainty coefficient") == 1


def test_what_it_names_is_there():
  order = re.findall(r"^## (\w+)", PAGE, re.M)
  assert order == ["Run", "Subjects", "Lanes", "Readings", "Rows", "Sections"]
  for name in re.findall(r"`ovl\.(\w+)`", PAGE):
    assert hasattr(ovl, name)
  for verb in re.findall(r"`ovl (\w+)`", PAGE):
    assert (pathlib.Path(ovl.__file__).parent / verb).is_dir()
