package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration, and where.
type Problem struct {
	File    string // file name, or another source such as an environment variable; "" if unknown
	Line    int    // counted from 1; 0 where the source has no lines
	Message string // what is wrong, in lower case, without secrets
}

// String returns the problem as "file:line: message", leaving out what is
// not known.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.Message
	case p.Line == 0:
		return p.File + ": " + p.Message
	default:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
	}
}

// Problems are all problems found in one pass, in the order of the source. As
// an error it is never empty: functions of this package return nil instead.
type Problems []Problem

// Error returns the problems one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// err returns the problems as an error, nil if there are none: a nil Problems
// in an error interface would not compare equal to nil.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// place is where a setting was given. The zero place is unknown.
type place struct {
	file string
	line int
}

// String returns the place as "file:line", "" if it is unknown.
func (at place) String() string {
	if at.line == 0 {
		return at.file
	}
	return fmt.Sprintf("%s:%d", at.file, at.line)
}

// Where returns the place where a global setting was given, as "file:line", or
// "" if it has its default or was set by a program.
func (c *Config) Where(setting string) string { return c.places[setting].String() }

// Where returns the place of the entry, as "file:line", or "" if it was made
// by a program.
func (d *Database) Where() string { return d.at.String() }

func (at place) problem(message string) Problem {
	return Problem{File: at.file, Line: at.line, Message: message}
}
