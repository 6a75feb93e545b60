// Package procfile reads a Procfile and runs its lines on this machine as a platform runs them in dynos: through bash, in a
// process group of their own, with the environment that they are given and nothing else, and stopped by a signal to all of
// their processes at once.
//
// It is for the examples and the tests of what is deployed. It isn't a supervisor: a dyno that ends stays ended.
//
// The life of a dyno:
//
//  1. Parse reads the lines; Find picks one.
//  2. Start makes the dyno. What it writes goes to the place's Output.
//  3. Ended tells when its first process has ended, and Status how; AllEnded when nobody of it is left.
//  4. Broadcast sends a signal to all that are there.
package procfile
