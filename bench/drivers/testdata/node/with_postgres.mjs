// postgres.js. A client of its is a pool: here of one connection, as it may be, so that it is always the same.

import postgres from "postgres";

export class Driver {
  constructor(url) {
    this.url = url;
  }

  async connect(connection) {
    return new Connection(postgres(this.url, { max: 1, connection, onnotice: () => {} }));
  }

  pool(max) {
    const sql = postgres(this.url, { max, onnotice: () => {} });
    return {
      async lend(work) {
        const reserved = await sql.reserve();
        try {
          return await work(new Connection(reserved));
        } finally {
          reserved.release();
        }
      },
      end: () => sql.end(),
    };
  }
}

class Connection {
  #sql;

  constructor(sql) {
    this.#sql = sql;
  }

  // With parameters the text is prepared, as it is when it is written as a template.
  #send(text, args) {
    if (!args.length) return this.#sql.unsafe(text);
    const strings = text.split(/\$\d/);
    strings.raw = strings;
    return this.#sql(strings, ...args);
  }

  async run(text, ...args) {
    await this.#send(text, args);
  }

  async query(text, ...args) {
    return [...(await this.#send(text, args).values())];
  }

  async columns(text, ...args) {
    return (await this.#send(text, args)).columns.map((column) => column.name);
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

  // The driver sends them one behind the other without waiting.
  batch(numbers) {
    return Promise.all(numbers.map((n) => this.run("INSERT INTO ticket VALUES ($1)", n)));
  }

  async cursor(text, size) {
    const numbers = [];
    await this.#sql.unsafe(text).cursor(size, (rows) => {
      for (const { n } of rows) numbers.push(n);
    });
    return numbers;
  }

  async copyIn(text, lines) {
    const stream = await this.#sql.unsafe(text).writable();
    await new Promise((resolve, reject) => {
      stream.on("error", reject).on("finish", resolve);
      for (const line of lines) stream.write(line);
      stream.end();
    });
  }

  async copyOut(text) {
    let all = "";
    for await (const chunk of await this.#sql.unsafe(text).readable()) all += chunk;
    return all;
  }

  // The driver listens on a connection of its own.
  async listen(channel, heard) {
    const { unlisten } = await this.#sql.listen(channel, heard);
    return unlisten;
  }

  cancellable(text) {
    const query = this.#sql.unsafe(text).execute();
    return [query, () => query.cancel()];
  }

  close() {
    return this.#sql.end({ timeout: 0 });
  }
}
