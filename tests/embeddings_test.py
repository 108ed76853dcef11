"""Text embeddings from one end to the other, against scikit-learn by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from ovl import cli, results

WIDTH = 768  # of BERT and most sentence encoders
DOCUMENTS, SENTENCES = 160, 10
N = DOCUMENTS * SENTENCES


@pytest.fixture(scope="module")
def corpus():
  """Sentences of documents: a style a document, a genre and a sentiment beside it."""
  gen = np.random.default_rng(0)
  document = np.repeat(np.arange(DOCUMENTS), SENTENCES)
  genre = gen.integers(0, 2, DOCUMENTS)[document]
  sentiment = 3.2 + 0.9 * gen.normal(size=N)
  scale = 1 / np.sqrt(1 + np.arange(WIDTH))  # as spectra of embeddings fall
  z = gen.normal(size=(DOCUMENTS, WIDTH))[document] * 0.4 + gen.normal(size=(N, WIDTH))
  along = gen.normal(size=(2, WIDTH)) * np.sqrt(384 / WIDTH)
  z = z * scale + 0.005 * (2 * genre - 1)[:, None] * along[0]
  z += 0.01 * (sentiment - 3.2)[:, None] * along[1]
  z /= np.linalg.norm(z, axis=1, keepdims=True)
  unknown = gen.random((2, N)) < 0.05
  part = np.array(["probe", "stop", "test"])[np.digitize(np.arange(DOCUMENTS), (70, 90))]
  return {
    "z": z.astype(np.float32), "document": document, "split": part[document],
    "genre": genre, "sentiment": sentiment, "unknown": unknown,
  }  # fmt: skip


def as_folder(corpus, path):
  (path / "taps").mkdir(parents=True)
  np.save(path / "taps" / "encoder.npy", corpus["z"])
  lines = [",genre,sentiment,group,split"]
  for i in range(N):
    name = f"reports/{corpus['document'][i]:03}.txt"
    genre = (
      "NA" if corpus["unknown"][0, i] else ("news", "poetry, prose")[corpus["genre"][i]]
    )
    score = "" if corpus["unknown"][1, i] else f"{corpus['sentiment'][i]:.9g}"
    lines.append(f'{i},"{genre}",{score},{name},{corpus["split"][i]}')
  text = "\r\n".join(lines)
  (path / "attributes.csv").write_bytes(text.encode("utf-8-sig"))
  return path


def as_npz(corpus, path):
  genre = np.array(["news", "poetry, prose"])[corpus["genre"]].astype(object)
  genre[corpus["unknown"][0]] = None
  score = np.where(corpus["unknown"][1], np.nan, corpus["sentiment"])
  np.savez(
    path, groups=corpus["document"], split=corpus["split"],
    **{"taps/encoder": corpus["z"], "attributes/genre": genre.astype(str)},
    **{"attributes/sentiment": score},
  )  # fmt: skip
  return path


def by_hand(corpus):
  """AUC of genre and r2 of sentiment, strength of the penalty chosen on stop."""
  rows = {name: corpus["split"] == name for name in ("probe", "stop", "test")}
  z = StandardScaler().fit(corpus["z"][rows["probe"]]).transform(corpus["z"])

  def parts(target, unknown):
    return [(z[at & ~unknown], target[at & ~unknown]) for at in rows.values()]

  probe, stop, test = parts(corpus["genre"], corpus["unknown"][0])
  tried = [
    LogisticRegression(C=C, max_iter=2000).fit(*probe) for C in np.logspace(-5, 1, 13)
  ]
  best = min(tried, key=lambda one: log_loss(stop[1], one.predict_proba(stop[0])))
  auc = roc_auc_score(test[1], best.decision_function(test[0]))
  probe, stop, test = parts(corpus["sentiment"], corpus["unknown"][1])
  fits = [Ridge(alpha=a).fit(*probe) for a in np.logspace(-1, 5, 13)]
  best = max(fits, key=lambda one: r2_score(stop[1], one.predict(stop[0])))
  return auc, r2_score(test[1], best.predict(test[0]))


def value(rows, attribute, metric):
  (row,) = [
    row for row in rows
    if (row.attribute, row.metric, row.subject) == (attribute, metric, "trained")
    and row.seed is None and not row.setting
  ]  # fmt: skip
  return row


@pytest.mark.parametrize("form", ["folder", "npz"])
def test_embeddings_are_read_as_scikit_learn_reads_them(corpus, tmp_path, form, capsys):
  if form == "folder":
    path = as_folder(corpus, tmp_path / "mine")
  else:
    path = as_npz(corpus, tmp_path / "mine.npz")
  drop = ["--config.audit.critics=('linear',)", f"--workdir={tmp_path / 'out'}"]
  assert cli.main(["ovl", "audit", str(path), *drop]) == 0
  said = capsys.readouterr().err
  assert "genre: 2 classes (news, poetry, prose)" in said
  assert f"{corpus['unknown'][0].sum()} unknown" in said
  assert "sentiment: a quantity" in said
  rows = results.read(tmp_path / "out")
  auc, r2 = by_hand(corpus)
  assert 0.7 < auc < 0.98  # else there is nothing to agree on
  assert value(rows, "genre", "auc").value == pytest.approx(auc, abs=0.01)
  assert value(rows, "genre", "share_beyond_task").verdict == "leaks"
  assert 0.3 < r2 < 0.95
  assert value(rows, "sentiment", "r2").value == pytest.approx(r2, abs=0.05)
