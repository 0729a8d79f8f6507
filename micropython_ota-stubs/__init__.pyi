from ota.legacy import check_for_ota_update as check_for_ota_update
from ota.legacy import check_version as check_version
from ota.legacy import generate_auth as generate_auth
from ota.legacy import ota_update as ota_update
