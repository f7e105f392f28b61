// ioredis over the socket named on the command line.
const assert = require("node:assert");
const Redis = require("ioredis");
let count = 0;
const check = (found, wanted) => { assert.deepStrictEqual(found, wanted); count += 1; };

(async () => {
  const redis = new (Redis.default ?? Redis)(process.argv[2]);
  const errors = [];
  redis.on("error", (error) => errors.push(error));
  check(await redis.ping(), "PONG");
  await redis.flushdb();
  check(await redis.set("a", "1"), "OK");
  check(await redis.get("a"), "1");
  check(await redis.get("none"), null);
  check(await redis.set("a", "2", "NX"), null);
  check(await redis.incrby("a", 41), 42);
  check(await redis.mset("b", "1", "c", "2"), "OK");
  check(await redis.mget("b", "c", "d"), ["1", "2", null]);
  check(await redis.set("t", "x", "EX", 100), "OK");
  check(await redis.ttl("t"), 100);
  const piped = await redis.pipeline().get("a").incr("a").exec();
  check(piped.map(([error, value]) => [error, value]), [[null, "42"], [null, 43]]);
  const multi = await redis.multi().set("x", "1").incr("x").exec();
  check(multi.map(([error, value]) => [error, value]), [[null, "OK"], [null, 2]]);
  const keys = [];
  for await (const batch of redis.scanStream({ count: 2 })) keys.push(...batch);
  check(keys.sort(), ["a", "b", "c", "t", "x"]);
  check((await redis.getBuffer("a")).toString(), "43");
  await assert.rejects(redis.lpush("list", "a"), /LS0504/);
  // Many in flight at once come back each to its own.
  const values = await Promise.all(Array.from({ length: 1000 }, (_, n) => redis.set(`n${n}`, n).then(() => redis.get(`n${n}`))));
  check(values, Array.from({ length: 1000 }, (_, n) => String(n)));
  check(errors, []);
  await redis.quit();
  console.log(`${count} checks passed, ioredis ${require("ioredis/package.json").version}`);
})().catch((error) => { console.error(error); process.exit(1); });
