"""Key files that earlier versions wrote are read for ever: their password was `sesame`, and pycryptodome wrapped them."""

import pytest
from support import ROOT

from ota_host.errors import HostError
from ota_host.keys import check_signatures, open_signer, sign_manifest

KEYS = ROOT / "tests/fixtures/keys"
RAW = b'{"ota":1,"project":"sample","version":"v1.0.0","seq":1,"files":0,"size":0}\n'


@pytest.fixture(params=["rs256", "es256", "hs256"])
def path(request, tmp_path):
    """A copy that is its owner's alone, which git does not keep."""
    copy = tmp_path / request.param
    copy.write_bytes((KEYS / f"{request.param}.key").read_bytes())
    copy.chmod(0o600)
    return copy


def test_an_old_key_file_signs_with_the_key_that_it_had(path):
    board_key = (KEYS / f"{path.name}.key.pub").read_text().strip()
    signer = open_signer(path, lambda what: b"sesame")
    assert signer.board_key == board_key
    assert check_signatures(sign_manifest(RAW, [signer]), [board_key]) == [signer.key_id]


def test_an_old_key_file_stays_closed_to_another_password(path):
    with pytest.raises(HostError, match="wrong password, or the file is damaged"):
        open_signer(path, lambda what: b"other")
