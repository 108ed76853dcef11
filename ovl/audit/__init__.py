"""What does each layer know of each attribute, beyond the task it was trained for?"""

from ovl.audit.api import Audit as Audit
from ovl.audit.api import audit as audit
from ovl.audit.api import make_settings as make_settings
from ovl.audit.api import run as run
from ovl.audit.material import Settings as Settings
from ovl.audit.material import from_config as from_config
