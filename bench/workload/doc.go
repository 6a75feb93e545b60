// Package workload says what the calls of a benchmark do: the tables, the statements of a call, and how every answer is
// checked against its question. It sends nothing itself; a Session does, and how that comes by its connection isn't known
// here.
//
// The life of a workload:
//
//  1. Find knows it by its name, or Script reads it.
//  2. Its Tables are made, once for all clients.
//  3. NewCaller makes a Caller for each client, with the client's own randomness.
//  4. Call after call goes over the client's Session. Every answer says whose it is, by a key or a mark in it, so that one that
//     went astray is a WrongAnswer, and what happens to a transaction from outside is a MixedTransaction.
package workload
