"""What a program on python-etcd3 does with a cluster; prints what it got, one JSON line a step, without ids and revisions' base."""
import json
import sys
import threading

import etcd3

endpoint = sys.argv[1]
host, port = endpoint.split(":")
client = etcd3.client(host=host, port=int(port), timeout=10)


def text(value):
    return value.decode("latin1") if isinstance(value, bytes) else value


def tell(step, *facts):
    print(json.dumps([step, *facts]), flush=True)


base = client.put("base", "0").header.revision


def ago(revision):
    return revision - base


def pairs(result):
    return [[text(meta.key), text(value), ago(meta.mod_revision), meta.version] for value, meta in result]


# Keys.
tell("absent", client.get("nothing")[0])
client.put("k/a", "1")
client.put("k/b", "2")
client.put("k/c", b"\x00\xff".decode("latin1"))
tell("get", text(client.get("k/a")[0]))
tell("previous", text(client.put("k/a", "1.1", prev_kv=True).prev_kv.value))
tell("new", client.put_if_not_exists("k/d", "4"), client.put_if_not_exists("k/d", "5"))
tell("replace", client.replace("k/d", "4", "6"), client.replace("k/d", "4", "7"), text(client.get("k/d")[0]))
tell("prefix", pairs(client.get_prefix("k/")))
tell("descending", pairs(client.get_prefix("k/", sort_order="descend", sort_target="mod")))
tell("range", pairs(client.get_range("k/b", "k/d")))
tell("keys", [text(meta.key) for _, meta in client.get_prefix("k/", keys_only=True)])
tell("count", client.get_prefix_response("k/").count)
tell("delete", client.delete("k/b"), client.delete("k/b"))
tell("delete prefix", client.delete_prefix("k/").deleted)

# Transactions.
client.put("t", "1")
for expected in ("1", "1"):
    succeeded, responses = client.transaction(
        compare=[client.transactions.value("t") == expected, client.transactions.version("t") > 0],
        success=[client.transactions.put("t", "2"), client.transactions.get("t")],
        failure=[client.transactions.get("t"), client.transactions.delete("t")],
    )
    tell("txn", succeeded, [pairs(one) if isinstance(one, list) else "done" for one in responses])
try:
    client.transaction(compare=[], success=[client.transactions.put("t", "1"), client.transactions.put("t", "2")], failure=[])
except Exception as error:  # noqa: BLE001 - what it is called is what is told
    tell("duplicate", type(error).__name__, error.details() if hasattr(error, "details") else str(error))

# Leases.
lease = client.lease(60)
client.put("l", "1", lease=lease)
tell("lease", lease.ttl, [text(key) for key in lease.keys], lease.granted_ttl, lease.remaining_ttl > 50)
tell("refresh", [answer.TTL for answer in lease.refresh()])
lease.revoke()
tell("revoked", client.get("l")[0], [answer.TTL for answer in client.refresh_lease(lease.id)])

# Watches: from a past revision, and what is to come.
first = client.put("w/1", "1").header.revision
client.put("w/2", "2")
client.delete("w/1")
events, cancel = client.watch_prefix("w/", start_revision=first, prev_kv=True)
later = threading.Thread(target=lambda: client.put("w/3", "3"))
later.start()
seen = []
for event in events:
    seen.append([type(event).__name__, text(event.key), text(event.value), ago(event.mod_revision), text(event.prev_value)])
    if len(seen) == 4:
        cancel()
later.join()
tell("watch", seen)

# Locks. Not a contended one: waiting for a lock fails inside the library with the version of tenacity that Debian gives it.
lock = client.lock("name", ttl=10)
tell("lock", lock.acquire(timeout=5), lock.is_acquired(), lock.release(), lock.is_acquired())

# Maintenance.
tell("alarms", list(client.list_alarms()))
tell("members", len(list(client.members)) > 0, client.status().leader is not None)
client.compact(client.put("c", "1").header.revision, physical=True)
try:
    list(client.watch_prefix("w/", start_revision=first)[0])
except Exception as error:  # noqa: BLE001
    tell("compacted", type(error).__name__)
client.close()
