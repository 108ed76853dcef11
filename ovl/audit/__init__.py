"""What does each layer know of each attribute, beyond the task it was trained for?"""

from ovl.audit.api import audit as audit
from ovl.audit.api import make_settings as make_settings
from ovl.audit.settings import Settings as Settings
from ovl.run import Result as Audit  # noqa: F401
from ovl.run import runner

run = runner("audit")
