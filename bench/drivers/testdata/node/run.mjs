// Goes through steps with one driver: run.mjs DRIVER STEP... The database is DATABASE_URL.

import { steps } from "./scenario.mjs";

const [name, ...names] = process.argv.slice(2);
const { Driver } = await import(`./with_${name}.mjs`);
const driver = new Driver(process.env.DATABASE_URL);

// What the driver says beside a step's own promise: a connection that is lost, say. The step finds out by itself.
process.on("unhandledRejection", (error) => console.error(error));

for (const step of names) {
  let line;
  try {
    driver.retries = 0;
    driver.opened = [];
    if (!steps[step]) throw new Error("left out");
    line = { step, result: await steps[step](driver), retries: driver.retries };
  } catch (error) {
    line = { step, error: String(error.message || error) };
  }
  for (const connection of driver.opened) await connection.close().catch(() => {});
  await new Promise((done) => process.stdout.write(JSON.stringify(line) + "\n", done));
}
process.exit(0);
