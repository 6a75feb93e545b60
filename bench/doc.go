// Package bench puts load on a Postgres, or on a pooler before one, and says what came of it: transactions a second,
// latency percentiles, errors by SQLSTATE, and how many server connections were at work for how many clients.
//
// It knows nothing of carpool's inside: it is a client like any other, over real connections. A run is:
//
//  1. Prepare fills the tables of a workload.
//  2. Run connects every client, a bounded number at a time, and lets them start together.
//  3. Each client repeats its transaction and checks that the reply is the reply to its own question, until the time is over.
//     Meanwhile a sampler counts server connections and waiting clients, and Progress hears how far things are.
//  4. Run closes the connections and returns the Result; WriteSummary prints one or two of them side by side.
//
// The whole of `carpool bench` is in the packages below: bench/experiment lets strategies take turns, bench/workload says what
// they do, bench/worker is a process of clients, bench/target the database, bench/report what is told. The private Postgres is
// in bench/pgserver, the comparison with PgBouncer in bench/compare.
package bench
