// Package pooler launches poolers, carpool and PgBouncer, before a database that is to be measured: with equal settings, on
// ports of their own, as an unprivileged user, without touching a pooler that the machine may be running already.
//
// The life of a pooler:
//
//  1. Carpool or PgBouncer asks a program for its version.
//  2. Launch makes a fresh directory that only the pooler's user can read, starts the program, waits until it takes
//     connections, and sends one query through it. The configuration holds the password of the server: on Linux the
//     program inherits it as a file without a name, elsewhere it is removed again once that query is answered.
//  3. URL is where clients connect, with a throw-away password; CPU and Memory tell what the process uses, and Err whether it
//     has ended by itself.
//  4. End stops it and removes the directory. Should our process be killed, Linux kills the pooler too, and the next Launch
//     removes the directory.
package pooler
