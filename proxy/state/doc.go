// Package state knows what a session has set, so that it can be set again on
// another server.
//
// Its first part is parameters. Params is a set of names and values that is
// never changed, only replaced: what a client wants, or what a server has. Sets
// come from an Interner, so two equal sets are one pointer and the usual
// question at checkout, "does this server have what the client wants?", is one
// comparison. When the answer is no, AppendReplay writes the query that makes
// it so.
//
// What a client has set is learnt from its start-up packet, from what servers
// report (ParameterStatus), and from what they answer when they are asked.
//
// Its second part is everything else that a session holds. Classifier tells from
// the text of a query, taken apart by a Lexer, what it may leave behind.
// AppendAudit asks a server what is there, and Findings reads the answer.
// Journal tells, where nobody can be asked, which of a client's deeds stand at
// the end of a transaction with its savepoints, errors and rollbacks. AppendClean
// frees a session of what is left.
package state
