// node-postgres.

import { createHash } from "node:crypto";
import pg from "pg";

export class Driver {
  constructor(url) {
    this.url = url;
  }

  async connect({ application_name, ...settings }) {
    const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`).join(" ");
    const client = new pg.Client({ connectionString: this.url, application_name, options: options || undefined });
    client.on("error", () => {}); // the next query has it too
    await client.connect();
    return new Connection(client);
  }

  pool(max) {
    const pool = new pg.Pool({ connectionString: this.url, max });
    return {
      async lend(work) {
        const client = await pool.connect();
        try {
          return await work(new Connection(client));
        } finally {
          client.release();
        }
      },
      end: () => pool.end(),
    };
  }
}

class Connection {
  #client;

  constructor(client) {
    this.#client = client;
  }

  // A query with parameters has a name, as it has in applications that want it prepared: one for each text.
  #send(text, args) {
    const name = args.length ? createHash("md5").update(text).digest("hex") : undefined;
    return this.#client.query({ text, name, values: args.length ? args : undefined, rowMode: "array" });
  }

  async run(text, ...args) {
    await this.#send(text, args);
  }

  async query(text, ...args) {
    return (await this.#send(text, args)).rows;
  }

  async columns(text, ...args) {
    return (await this.#send(text, args)).fields.map((field) => field.name);
  }

  begin() {
    return this.run("BEGIN");
  }

  commit() {
    return this.run("COMMIT");
  }

  rollback() {
    return this.run("ROLLBACK");
  }

  // Queries that don't wait for each other: the driver has them wait in a queue.
  batch(numbers) {
    return Promise.all(numbers.map((n) => this.run("INSERT INTO ticket VALUES ($1)", n)));
  }

  async cursor(sql, size) {
    const numbers = [];
    await this.begin();
    await this.run("DECLARE pages CURSOR FOR " + sql);
    for (let rows; (rows = await this.query(`FETCH ${size} FROM pages`)).length; ) numbers.push(...rows.flat());
    await this.commit();
    return numbers;
  }

  async listen(channel, heard) {
    this.#client.on("notification", (message) => heard(message.payload));
    await this.run("LISTEN " + channel);
    return () => this.run("UNLISTEN " + channel);
  }

  close() {
    return this.#client.end();
  }
}
