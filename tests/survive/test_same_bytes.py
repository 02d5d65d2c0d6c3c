"""Cores, hashes, locale and clock of a machine are no inputs of a result."""

from performing import Study, digests

OTHER = {"PYTHONHASHSEED": "4242", "LC_ALL": "C", "LANG": "C", "TZ": "Pacific/Auckland"}


def test_other_cores_hashes_locale_and_clock_give_the_same_bytes(tmp_path, wanted):
    """The run it is held to was made with two cores and this session's environment."""
    study = Study(tmp_path, **OTHER)
    study.finish(cores=1)
    found = digests(study.run)
    assert set(found) == set(wanted)
    assert [name for name in found if found[name] != wanted[name]] == []
