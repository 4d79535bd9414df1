// ioredis as clients.sh drives it: clients.js rate|write PATH|PORT SECONDS PREFIX.
"use strict";
const Redis = require("ioredis");

const [what, where, seconds, prefix] = process.argv.slice(2);
const client = /^\d+$/.test(where) ? new Redis(Number(where), "127.0.0.1") : new Redis(where);
const now = () => Number(process.hrtime.bigint()) / 1e6;

async function rate() {
  const begun = now();
  let done = 0;
  await client.set(prefix, "x".repeat(64));
  while (now() - begun < seconds * 1000) {
    await client.get(prefix);
    done++;
  }
  console.log(Math.round((done / (now() - begun)) * 1000));
  client.disconnect();
}

let over = false, good = 0, longest = 0;
const failed = [];

async function write(number) {
  for (let n = 0; !over; n++) {
    const begun = now();
    try {
      await client.incr(`${prefix}:${number}:${n}`);
      good++;
    } catch (error) {
      failed.push(error.message.split(" ")[0]);
    }
    longest = Math.max(longest, now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

if (what === "rate") {
  rate();
} else {
  const all = Promise.all([0, 1, 2, 3].map(write));
  console.log("begun");
  process.stdin.resume();
  process.stdin.on("end", async () => {
    over = true;
    await all;
    console.log(good, failed.length, failed.filter((word) => word === "UNKNOWN").length, Math.round(longest));
    client.disconnect();
  });
}
