"""Erasers as a scikit-learn transformer, for its pipelines and its cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ovl.eraser.api import erase
from ovl.load import load
from ovl.types import BadInput, Eraser, Kind


class ConceptEraser(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
  """`ovl.erase` as a transformer: `fit(Z, s)`, `transform(Z)`.

  In a pipeline it erases what the pipeline predicts, which is how a fresh attacker is
  asked under cross-validation. To erase one thing and predict another, route it, after
  `sklearn.set_config(enable_metadata_routing=True)`, by
  `ConceptEraser().set_fit_request(s=True)` and `pipeline.fit(Z, y, s=s)`.

  Attributes:
    eraser_: the `FittedEraser`.
    n_features_in_: D.
    feature_names_in_: names of the columns, where Z has any.
  """

  def __init__(
    self,
    method: str | Eraser = "leace",
    *,
    kind: Kind | Mapping[str, Kind] | None = None,
    seed: int = 0,
    **settings: Any,
  ) -> None:
    """As `ovl.erase`; nothing is checked before `fit`.

    Args:
      method: one that does not need the attribute of the rows it edits.
      kind: "discrete", "continuous", or by name.
      seed: of the randomness of methods that have any.
      **settings: the method's own, parameters of the transformer like the others.
    """
    self.method = method
    self.kind = kind
    self.seed = seed
    self.__dict__.update(settings)

  def get_params(self, deep: bool = True) -> dict[str, Any]:
    """Parameters by name, the method's settings among them."""
    del deep  # none of them has parameters
    own = (name for name in vars(self) if name[0] != "_" and name[-1] != "_")
    return {name: getattr(self, name) for name in own}

  def set_params(self, **params: Any) -> ConceptEraser:
    """Sets parameters, also settings that were not given before."""
    self.__dict__.update(params)
    return self

  def fit(self, X: Any, y: Any = None, *, s: Any = None) -> ConceptEraser:
    """Fits the eraser of `[N, D]` rows.

    Args:
      X: `[N, D]` numbers; names of columns are kept.
      y: the attribute to erase, in any form `ovl.erase` takes, unless s is given.
      s: the attribute to erase, where y is something else.

    Raises:
      BadInput: as `ovl.erase`; no attribute; a method that needs it at every edit.
    """
    z_ND = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
    s = y if s is None else s
    if s is None:
      raise BadInput(
        "ConceptEraser requires y to be passed, but the target y is None: fit(Z, s)"
      )
    settings = self.get_params()
    method, kind, seed = (settings.pop(name) for name in ("method", "kind", "seed"))
    if load("erasers", method, **settings).oracle:
      raise BadInput(
        f"method={method!r} needs the attribute of every row it edits, which "
        "transform(Z) is not given: ovl.erase(z, s, method)(z, s)"
      )
    self.eraser_ = erase(z_ND, s, method, kind=kind, seed=seed, **settings)
    return self

  def transform(self, X: Any) -> np.ndarray:
    """The rows with the concept erased, float32 where they are, else float64."""
    check_is_fitted(self)
    z_ND = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
    return self.eraser_(z_ND)

  def __sklearn_tags__(self) -> Any:
    """It needs the attribute, and keeps float32."""
    tags = super().__sklearn_tags__()
    tags.target_tags.required = True
    tags.transformer_tags.preserves_dtype = ["float64", "float32"]
    return tags
