// Package workload says what the calls of a benchmark do: the tables, the statements of a call, and how every answer is
// checked against its question. It sends nothing itself; a Session does.
package workload
