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
// What a client has set is learnt from its start-up packet and from what
// servers report (ParameterStatus). Classifier tells from the text of a query
// what it may leave in its session; nothing acts on that yet.
package state
