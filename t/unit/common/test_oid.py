from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import NAMESPACE_OID, uuid3

from kombu.common import generate_oid, get_node_id, oid_from
from kombu.common import oid as oid_module


class TestOid:
    def test_as_recorded(self):
        thing = object()
        text = f"a-b-c-{id(thing):x}"
        assert generate_oid(10, 11, 12, thing) == str(uuid3(NAMESPACE_OID, text))

    def test_same_here_another_in_another_thread(self):
        thing = object()
        with ThreadPoolExecutor(1) as pool:
            elsewhere = pool.submit(oid_from, thing).result(10)
            anywhere = pool.submit(oid_from, thing, threads=False).result(10)
        assert oid_from(thing) == oid_from(thing) != elsewhere
        assert oid_from(thing, threads=False) == anywhere
        assert get_node_id() == get_node_id()

    def test_without_md5(self, monkeypatch):
        def no_md5(*_):
            raise ValueError("disabled for FIPS")

        monkeypatch.setattr(oid_module, "uuid3", no_md5)
        assert len(generate_oid(1, 2, 3, object())) == 36
