// Package prepared gives the prepared statements of many clients one set of
// names that every server understands.
//
// In transaction mode a client's next statement may run on another server, so
// the name that a client has chosen means nothing there, and two clients may
// use one name for two queries. Hence three tables:
//
//  1. Catalog: every statement that anybody has prepared, once, under a name of
//     our own. Two clients that prepare the same bytes share a Statement.
//  2. Names: what one client calls them.
//  3. Cache: which of them one server has, the least recently used first to go.
//
// A Statement lives as long as somebody holds a reference to it. Names and
// Cache hold one for each statement they list; Catalog itself holds none.
//
// The package decides nothing about the protocol: which Parse is sent, answered
// locally or injected is the business of the session. It neither reads SQL nor
// knows what PREPARE and DEALLOCATE mean. Only Catalog may be used by several
// goroutines at once; Names and Cache belong to the loop that runs the session.
package prepared
