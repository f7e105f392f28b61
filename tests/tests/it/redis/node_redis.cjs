// node-redis over the socket named on the command line.
const assert = require("node:assert");
const { createClient } = require("redis");
let count = 0;
const check = (found, wanted) => { assert.deepStrictEqual(found, wanted); count += 1; };

(async () => {
  for (const RESP of [2, 3]) {
    const client = createClient({ socket: { path: process.argv[2], tls: false }, RESP });
    const errors = [];
    client.on("error", (error) => errors.push(error));
    await client.connect();
    check(await client.ping(), "PONG");
    await client.flushDb();
    check(await client.set("a", "1"), "OK");
    check(await client.get("a"), "1");
    check(await client.get("none"), null);
    check(await client.set("a", "2", { NX: true }), null);
    check(await client.incrBy("a", 41), 42);
    check(await client.mSet({ b: "1", c: "2" }), "OK");
    check(await client.mGet(["b", "c", "d"]), ["1", "2", null]);
    check(await client.set("t", "x", { EX: 100 }), "OK");
    check(await client.ttl("t"), 100);
    check(await client.multi().set("x", "1").incr("x").get("x").exec(), ["OK", 2, "2"]);
    await client.watch("x");
    const other = client.duplicate();
    await other.connect();
    await other.set("x", "100");
    await assert.rejects(client.multi().incr("x").exec());
    count += 1;
    const keys = [];
    for await (const batch of client.scanIterator({ COUNT: 2 })) keys.push(...(Array.isArray(batch) ? batch : [batch]));
    check(keys.sort(), ["a", "b", "c", "t", "x"]);
    await assert.rejects(client.lPush("list", "a"), /LS0504/);
    check(await Promise.all(Array.from({ length: 1000 }, () => client.incr("n"))), Array.from({ length: 1000 }, (_, n) => n + 1));
    check(errors, []);
    await other.quit();
    await client.quit();
  }
  console.log(`${count} checks passed, node-redis ${require("redis/package.json").version}`);
})().catch((error) => { console.error(error); process.exit(1); });
