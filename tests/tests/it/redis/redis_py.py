"""redis-py, both dialects, over the socket named on the command line."""
import sys
import redis

count = 0


def check(found, wanted):
    global count
    assert found == wanted, f"{found!r} is not {wanted!r}"
    count += 1


def fails(call, word):
    global count
    try:
        call()
    except redis.exceptions.ResponseError as error:
        assert word in str(error), error
        count += 1
        return
    raise AssertionError(f"no error with {word}")


for protocol in (3, 2):
    r = redis.Redis(unix_socket_path=sys.argv[1], protocol=protocol, decode_responses=True)
    check(r.ping(), True)
    r.flushdb()
    check(r.set("a", "1"), True)
    check(r.get("a"), "1")
    check(r.get("none"), None)
    check(r.set("a", "2", nx=True), None)
    check(r.set("a", "2", xx=True, get=True), "1")
    check(r.incr("a", 40), 42)
    check(r.append("a", "!"), 3)
    check(r.getrange("a", 0, 0), "4")
    check(r.mset({"b": "1", "c": "2"}), True)
    check(r.mget("b", "c", "d"), ["1", "2", None])
    check(r.exists("b", "c", "d"), 2)
    check(r.delete("b", "d"), 1)
    check(r.set("t", "x", ex=100), True)
    check(r.ttl("t"), 100)
    check(r.persist("t"), True)
    check(r.ttl("t"), -1)
    check(r.expire("t", 50), True)
    check(r.type("t"), "string")
    check(r.incrbyfloat("f", 1.5), 1.5)
    check(sorted(r.scan_iter(match="*")), sorted(["a", "c", "t", "f"]))
    check(sorted(r.keys("[ac]")), ["a", "c"])
    check(r.dbsize(), 4)
    check(r.info()["role"], "master")
    check(r.config_get("appendonly"), {"appendonly": "yes"})
    check(r.client_setname("py"), True)
    check(r.client_getname(), "py")
    check(r.waitaof(1, 0, 0), [1, 0])
    with r.pipeline(transaction=True) as pipe:
        check(pipe.set("x", 1).incr("x").get("x").execute(), [True, 2, "2"])
    with r.pipeline(transaction=False) as pipe:
        check(pipe.get("x").get("none").strlen("x").execute(), ["2", None, 1])
    other = redis.Redis(unix_socket_path=sys.argv[1], decode_responses=True)
    with r.pipeline() as pipe:
        pipe.watch("x")
        other.set("x", 100)
        pipe.multi()
        pipe.incr("x")
        try:
            pipe.execute()
            raise AssertionError("the watched key had moved")
        except redis.WatchError:
            count += 1

    def count_up(pipe):
        before = int(pipe.get("x"))
        pipe.multi()
        pipe.set("x", before + 1)

    check(r.transaction(count_up, "x"), [True])
    check(r.get("x"), "101")
    fails(lambda: r.lpush("list", "a"), "LS0504")
    fails(lambda: r.incr("c" * 3000), "LS0302")
    binary = redis.Redis(unix_socket_path=sys.argv[1], protocol=protocol)
    every_byte = bytes(range(256))
    check(binary.set(every_byte, every_byte * 100), True)
    check(binary.get(every_byte), every_byte * 100)

print(f"{count} checks passed, redis-py {redis.__version__}")
