// Package experiment measures what pooling is worth: one workload, run by each strategy in turn, in rounds that take turns
// so that what the machine does meanwhile hits all alike.
//
// Run goes through these steps:
//
//  1. The plan is checked, then the machine: descriptors, and whether the harness could make so many calls at all.
//  2. The database is there: a private one is started, or the reader's own is looked at, and what will be done is said.
//  3. In each round every strategy that can run gets its trial: its pooler is launched afresh, worker processes connect,
//     start together and call; meanwhile server connections are counted. Then everything of that trial ends.
//  4. Sweeps repeat trials of a few strategies with other numbers of clients, or other sizes of the pool.
//  5. The database is left as it was found.
//
// What came of it is a report.Report; how it looks is that package's matter.
package experiment
