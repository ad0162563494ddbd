"""When a certificate is valid, read from its bytes."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from stigmer_cli.errors import ConfigError
from stigmer_cli.tls.certificate import first_in, validity
from stigmer_cli.tls.files import read_certificate


@pytest.mark.parametrize("kind", list(trustme.KeyType))
@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(1999, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)),  # another kind of time, from 2050 on
    ],
)
def test_both_ends_of_its_time_are_read(kind: trustme.KeyType, begins: datetime, ends: datetime) -> None:
    made = trustme.CA().issue_cert("a.example", not_before=begins, not_after=ends, key_type=kind)
    der = first_in(b"".join(blob.bytes() for blob in made.cert_chain_pems).decode())
    assert (validity(der).begins, validity(der).ends) == (begins, ends)


def test_the_first_of_a_chain_counts(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("a.example", not_after=datetime(2031, 1, 1, tzinfo=UTC))
    file = tmp_path / "chain.pem"
    file.write_bytes(leaf.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    assert read_certificate(file, "X").ends == datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("cut", [0, 1, 2, 10, 40, -1])
def test_what_is_cut_off_is_no_certificate(cut: int) -> None:
    der = ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())
    with pytest.raises(ValueError, match="not a certificate"):
        validity(der[:cut])


def test_a_file_without_one_names_setting_and_file(tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n")
    with pytest.raises(ConfigError) as caught:
        read_certificate(file, "STIGMER_X")
    assert caught.value.message == f"STIGMER_X: {file} is not a certificate: not a certificate: it is cut off"
