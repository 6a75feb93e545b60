// Package drivers holds the real drivers that applications use against carpool: each, with its default settings, goes through
// one scenario of some dozen steps, once with a Postgres of its own and once through carpool in transaction mode, with two
// server connections and a crowd of other clients that leave as much state behind as they can. Every step must come to the
// same answer both times, the one that the table of steps has.
//
// There is nothing here but tests. The package isn't a measurement: bench has those.
//
// The life of a case:
//
//  1. Two databases are made from one template: one for each way.
//  2. The driver's program gets a URL and the names of steps, and prints a line of JSON for each step that it has gone
//     through. The programs lie in testdata, one folder a language; the drivers in Go run in the test's own process.
//  3. Through carpool the same happens beside the crowd, whose members check their own answers as well.
//  4. What came of each step is compared with the table, and the whole is a table in docs/compatibility.md:
//     go test ./bench/drivers -args -update writes it.
//
// A program that hangs in a step is killed, and started anew with the steps behind it, so that one fault hides no other.
package drivers
