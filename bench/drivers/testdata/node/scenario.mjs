// The scenario as a client in JavaScript goes through it, whatever the driver. What is done outside begin and commit or
// rollback is a transaction by itself.

import { createHash } from "node:crypto";
import { setTimeout as after } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

const repetitions = 6;
const notifyPatience = 8000; // milliseconds
const shelf = { application_name: "shelf", statement_timeout: "31s", search_path: "one" };

// open makes a connection that is closed at the end of the step.
async function open(driver, parameters = {}) {
  const connection = await driver.connect(parameters);
  driver.opened.push(connection);
  return connection;
}

const value = async (c, sql, ...args) => (await c.query(sql, ...args))[0][0];

// code is the SQLSTATE of the error that there must be.
async function code(promise) {
  try {
    await promise;
  } catch (error) {
    if (error.code) return error.code;
    throw error;
  }
  return null;
}

async function distinct(c, sql, ...args) {
  const answers = [];
  for (let i = 0; i < repetitions; i++) {
    const [row] = await c.query(sql, ...args);
    if (!answers.some((seen) => isDeepStrictEqual(seen, row))) answers.push(row);
  }
  return answers;
}

// setting is the value of a parameter, or all that were seen if it isn't always the same.
async function setting(c, name) {
  const values = (await distinct(c, `SELECT current_setting('${name}')`)).flat();
  return values.length === 1 ? values[0] : values;
}

const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);

export const steps = {
  async connect(driver) {
    const c = await open(driver, shelf);
    return distinct(c, "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('search_path')");
  },

  async simple(driver) {
    return (await (await open(driver)).query("SELECT n FROM generate_series(1, 3) AS n")).flat();
  },

  async parameters(driver) {
    const c = await open(driver);
    let total = 0, title;
    for (let i = 1; i <= 20; i++) {
      const [row] = await c.query("SELECT CAST($1 AS int) * 2, CAST($2 AS text)", i, `book ${i}`);
      total += row[0];
      title = row[1];
    }
    return [total, title];
  },

  async large(driver) {
    const c = await open(driver);
    const answers = [];
    for (const times of [340, 34000]) {
      const text = "aé€".repeat(times);
      const [[length, digest, back, size]] = await c.query(
        "SELECT length(t), md5(t), t, length(b) FROM (SELECT CAST($1 AS text) AS t, CAST($2 AS bytea) AS b) AS s", text, Buffer.from(text));
      answers.push([length, digest, back === text && createHash("md5").update(back).digest("hex") === digest, size]);
    }
    return answers;
  },

  async types(driver) {
    const c = await open(driver);
    const answers = [];
    for (let i = 0; i < repetitions; i++) {
      const [[nothing, array, document, blob, moment, name, price]] = await c.query(
        "SELECT CAST($1 AS int), CAST($2 AS int[]), CAST($3 AS jsonb), CAST($4 AS bytea), CAST($5 AS timestamptz), " +
          "CAST($6 AS text), CAST($7 AS numeric)",
        null, [1, 2, 3], { a: [1, null, "é"] }, Buffer.from([0, 1, 255, 92]), new Date(1700000000000), "naïve", "12.50");
      const row = [nothing, array, document, Buffer.from(blob).toString("hex"), moment.getTime() / 1000, name, price];
      if (!answers.some((seen) => isDeepStrictEqual(seen, row))) answers.push(row);
    }
    return answers;
  },

  async concurrent(driver) {
    const workers = 4, rounds = 20;
    const pool = driver.pool(workers);
    const work = async (worker) => {
      let right = 0;
      for (let number = 0; number < rounds; number++) {
        const name = `worker ${worker}`;
        const row = await pool.lend(async (c) => {
          await c.run(`SET application_name = '${name}'`);
          return (await c.query("SELECT current_setting('application_name'), CAST($1 AS int)", number))[0];
        });
        if (isDeepStrictEqual(row, [name, number])) right++;
      }
      return right;
    };
    try {
      return await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
    } finally {
      await pool.end();
    }
  },

  async batch(driver) {
    const c = await open(driver);
    await c.batch(Array.from({ length: 50 }, (_, i) => i + 1));
    return (await c.query("SELECT CAST(count(*) AS int), CAST(sum(n) AS int) FROM ticket"))[0];
  },

  async transaction(driver) {
    const c = await open(driver);
    const insert = (id, title) => c.run("INSERT INTO books VALUES ($1, $2)", id, title);
    await c.begin();
    await insert(1, "kept");
    await c.commit();
    await c.begin();
    await insert(2, "lost");
    await c.rollback();
    await c.begin();
    await insert(3, "before");
    await c.run("SAVEPOINT here");
    await insert(4, "lost");
    await c.run("ROLLBACK TO SAVEPOINT here");
    await insert(5, "after");
    await c.commit();
    return (await c.query("SELECT title FROM books WHERE id > $1 ORDER BY id", 0)).flat();
  },

  async set(driver) {
    const c = await open(driver);
    const place = () => c.query("SELECT name FROM place WHERE name <> $1", "");
    const [before] = await place();
    await c.run("SET search_path = two");
    await c.run("SET TIME ZONE 'Asia/Kolkata'");
    await c.run("SET statement_timeout = '41s'");
    await c.run("SET application_name = 'reader'");
    const seen = await distinct(c, "SELECT current_setting('search_path'), current_setting('TimeZone'), " +
      "current_setting('statement_timeout'), current_setting('application_name')");
    const rows = [];
    for (const row of seen) rows.push([...row, ...(await place())[0]]);
    return [before, rows];
  },

  async "set in a transaction"(driver) {
    const c = await open(driver);
    const answers = [];
    await c.begin();
    await c.run("SET statement_timeout = '51s'");
    await c.rollback();
    answers.push(await setting(c, "statement_timeout"));
    await c.begin();
    await c.run("SET statement_timeout = '52s'");
    await c.commit();
    answers.push(await setting(c, "statement_timeout"));
    await c.begin();
    await c.run("SET statement_timeout = '53s'");
    await c.run("SAVEPOINT here");
    await c.run("SET statement_timeout = '54s'");
    await c.run("ROLLBACK TO SAVEPOINT here");
    await c.commit();
    return [...answers, await setting(c, "statement_timeout")];
  },

  async "set local"(driver) {
    const c = await open(driver);
    await c.begin();
    await c.run("SET LOCAL statement_timeout = '61s'");
    const inside = await value(c, "SELECT current_setting('statement_timeout')");
    await c.commit();
    const outside = await setting(c, "statement_timeout");
    await c.query("SELECT set_config('timezone', $1, false)", "Asia/Tokyo");
    return [inside, outside, await setting(c, "TimeZone")];
  },

  async reset(driver) {
    const c = await open(driver, shelf);
    const answers = [];
    await c.run("SET search_path = two");
    answers.push(await setting(c, "search_path"));
    await c.run("RESET search_path");
    answers.push(await setting(c, "search_path"));
    await c.run("SET statement_timeout = '71s'");
    await c.run("RESET ALL");
    return [...answers, await setting(c, "statement_timeout")];
  },

  async role(driver) {
    const c = await open(driver);
    const who = "SELECT CAST(current_user AS text)";
    await c.run("SET ROLE reader");
    const taken = await distinct(c, who);
    await c.run("RESET ROLE");
    return [...taken, ...(await distinct(c, who))].flat();
  },

  async prepare(driver) {
    const c = await open(driver);
    await c.run("PREPARE plan (int) AS SELECT $1 * 3");
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push(await value(c, "EXECUTE plan (4)"));
    await c.run("DEALLOCATE plan");
    return [...answers, await code(c.query("EXECUTE plan (4)"))];
  },

  async "temporary table"(driver) {
    const c = await open(driver), other = await open(driver);
    const exists = "SELECT CAST(to_regclass('basket') AS text)";
    await c.run("CREATE TEMPORARY TABLE basket (n int)");
    for (let n = 1; n <= 4; n++) await c.run("INSERT INTO basket VALUES ($1)", n);
    const total = await value(c, "SELECT CAST(sum(n) AS int) FROM basket");
    const seen = await value(other, exists);
    await c.run("DROP TABLE basket");
    return [total, seen, await value(c, exists)];
  },

  async "advisory lock"(driver) {
    const c = await open(driver), other = await open(driver);
    const answers = [];
    await c.query("SELECT pg_advisory_lock(42)");
    for (let i = 0; i < 3; i++) {
      await c.query("SELECT CAST($1 AS int)", 1);
      answers.push(await value(other, "SELECT pg_try_advisory_lock(42)"));
    }
    answers.push(await value(c, "SELECT pg_advisory_unlock(42)"));
    answers.push(await value(other, "SELECT pg_try_advisory_lock(42)"));
    return [...answers, await value(other, "SELECT pg_advisory_unlock(42)")];
  },

  async cursor(driver) {
    const numbers = await (await open(driver)).cursor("SELECT n FROM generate_series(1, 1000) AS n", 100);
    return [numbers.length, sum(numbers)];
  },

  async "held cursor"(driver) {
    const c = await open(driver);
    await c.run("DECLARE pages CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 300) AS n");
    const pieces = [];
    for (let i = 0; i < 3; i++) pieces.push((await c.query("FETCH 100 FROM pages")).flat());
    await c.run("CLOSE pages");
    return [pieces.map((rows) => rows.length), sum(pieces.flat())];
  },

  async "copy in"(driver) {
    const c = await open(driver);
    await c.copyIn("COPY parcel (id, title) FROM STDIN", Array.from({ length: 500 }, (_, i) => `${i + 1}\ttitle ${i + 1}\n`));
    return (await c.query("SELECT CAST(count(*) AS int), CAST(sum(id) AS int) FROM parcel"))[0];
  },

  async "copy out"(driver) {
    const c = await open(driver);
    const text = await c.copyOut("COPY (SELECT n, 'title ' || n FROM generate_series(1, 300) AS n) TO STDOUT");
    const numbers = text.trimEnd().split("\n").map((line) => Number(line.split("\t")[0]));
    return [numbers.length, sum(numbers)];
  },

  async listen(driver) {
    const c = await open(driver), other = await open(driver);
    const payloads = [];
    let arrived = () => {};
    const unlisten = await c.listen("news", (payload) => {
      payloads.push(payload);
      arrived();
    });
    await c.run("NOTIFY news, 'own'");
    await c.query("SELECT CAST($1 AS int)", 1);
    await other.begin();
    await other.run("NOTIFY news, 'other 1'");
    await other.query("SELECT pg_notify('news', 'other 2')");
    await other.commit();
    const patience = after(notifyPatience, "late", { ref: false });
    while (payloads.length < 3) {
      if ((await Promise.race([patience, new Promise((resolve) => (arrived = resolve))])) === "late") break;
    }
    await unlisten();
    await other.run("NOTIFY news, 'late'");
    await c.query("SELECT CAST($1 AS int)", 1);
    return payloads;
  },

  async error(driver) {
    const c = await open(driver);
    const divide = "SELECT 1 / CAST($1 AS int)";
    const answers = [await code(c.query(divide, 0)), await code(c.run("INSERT INTO books VALUES ($1, 'again')", 0))];
    await c.begin();
    await code(c.query(divide, 0));
    answers.push(await code(c.query("SELECT 1")));
    await c.rollback();
    return [...answers, await value(c, "SELECT CAST($1 AS int)", 7)];
  },

  async cancel(driver) {
    const c = await open(driver), other = await open(driver);
    const [running, cancel] = c.cancellable("SELECT pg_sleep(10)");
    const ended = code(running);
    const asleep = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())";
    while (!(await value(other, asleep))) await after(10);
    await cancel();
    return [await ended, await value(c, "SELECT CAST($1 AS int)", 1)];
  },

  async "changed table"(driver) {
    let c = await open(driver);
    const other = await open(driver);
    const read = () => c.columns("SELECT * FROM shelf WHERE id = $1", 1);
    let before;
    for (let i = 0; i < repetitions; i++) before = await read();
    await other.run("ALTER TABLE shelf ADD COLUMN colour text DEFAULT 'red'");
    for (;;) {
      try {
        await read();
        break;
      } catch (error) {
        if (driver.retries === 2 || !error.code) throw error;
        if (++driver.retries === 2) c = await open(driver); // what the driver has kept is of no use any more
      }
    }
    let later;
    for (let i = 0; i < repetitions; i++) later = await read();
    return [before, later];
  },

  async close(driver) {
    let c = await open(driver);
    const other = await open(driver);
    await c.begin();
    await c.run("INSERT INTO books VALUES (77, 'unfinished')");
    await c.close();
    const left = await value(other, "SELECT CAST(count(*) AS int) FROM books WHERE id = 77");
    c = await open(driver);
    await c.query("SELECT pg_advisory_lock(77)");
    await c.close();
    let free = false;
    for (const until = Date.now() + notifyPatience; !free && Date.now() < until; ) {
      free = await value(other, "SELECT pg_try_advisory_lock(77)");
    }
    await other.query("SELECT pg_advisory_unlock_all()");
    return [left, free];
  },
};
