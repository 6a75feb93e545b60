// Package pool lends values of a type S to those who ask, and decides who
// waits for whom.
//
// It knows how to open a value (Settings.Dial) and how to end one
// (Settings.Close) and nothing else about it. What it promises:
//
//   - A lent value is used by nobody else; a lease ends exactly once, by
//     Checkin or Discard.
//   - Waiters of a pool are served first come, first served, by hand-off: a
//     value given back goes straight to the oldest waiter. A ticket withdrawn
//     never keeps a value.
//   - Values open and being dialed never exceed the limits of the pool, of
//     each Quota the pool shares with others, and of the total, not even while
//     old values are being replaced.
//   - Dials run in parallel up to a bound, never more than there are waiters
//     to serve, and back off per host after a failure. A fatal answer reaches
//     the waiters at once.
//   - All counts in Stats are read under one lock: idle + leased + dialing =
//     open.
//
// # Life of a value
//
//  1. A Checkout finds nothing idle and queues; the ledger starts a dial,
//     evicting an idle value elsewhere if a shared limit is in the way.
//  2. The dialed value goes to the oldest waiter of its variant, or becomes
//     idle when nobody waits any more.
//  3. The lessee ends the lease. Checkin hands the value to the oldest waiter
//     or lays it down idle; Discard closes it.
//  4. Idle too long, over its lifetime, evicted, retired, paused or removed:
//     the value is closed, at once if idle, else when its lease ends.
//
// # Fairness
//
// Within a pool and a variant, order of service is order of arrival. Two
// bounds say by how much that order may bend where a value can't simply be
// handed over and must be closed and replaced by a dial:
//
//   - between variants of one pool, a waiter is overtaken by releases of
//     another variant only until it has waited swapPatience; then the next
//     value released is closed in its favour;
//   - between pools that share a limit, no value released goes to a waiter
//     which came more than starveSlack after the oldest one that the limit
//     holds up; the value is closed in favour of that one.
//
// # Parts
//
// The ledger (ledger*.go) is pure: no lock, no clock, no goroutine; it takes
// events and the time, and collects effects. Registry holds the one ledger
// behind the one mutex, because limits are shared between pools, and carries
// the effects out after unlocking. Nothing here is specific to databases.
package pool
