from ota.legacy import check_for_ota_update, check_version, generate_auth, ota_update
