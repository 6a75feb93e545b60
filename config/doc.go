// Package config is carpool's configuration as plain data: what can be set,
// how it is read, and what is wrong with it.
//
// The life of a configuration, in steps:
//
//  1. [Default] or [DefaultForURL] gives a Config in which everything has its
//     default; [LoadFile] reads a file in PgBouncer's ini syntax on top of it.
//  2. [Config.ApplyEnv] and [Config.Set] override single settings, from the
//     environment, the command line and later the console.
//  3. [Config.Validate] looks at the whole and returns all problems at once;
//     [Config.Warnings] returns what is accepted but has no effect.
//  4. [Config.Resolve] answers what applies to one database and user, with
//     the precedence of user over database over global.
//  5. On a reload, [Diff] names what changed between two configurations and
//     which changes need a restart or new server connections; [Merge] is what
//     can be taken on without a restart.
//
// Every setting exists once, in the tables behind [Settings],
// [DatabaseSettings], [UserSettings] and [PeerSettings]. Reading, printing,
// comparing and documenting are loops over these tables.
//
// A Config is not safe for concurrent change. Once validated it is meant to be
// shared and only read; a reload builds another one.
//
// The package opens the configuration file and what it includes, and nothing
// else: it neither reads auth_file nor looks at certificates, sockets or
// users of the operating system. No error it returns holds a password.
package config
