package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Limits on what is read. They are far above any real configuration and keep
// a wrong file name, or a file that includes itself by detours, harmless.
const (
	mostFileBytes    = 16 << 20
	mostTotalBytes   = 64 << 20
	mostLineBytes    = 64 << 10
	mostIncludeDepth = 10
	mostFiles        = 1000
	mostEntries      = 100_000 // databases, users, peers: each
	mostProblems     = 200
)

// blanks are the characters trimmed and skipped within a line. The carriage
// return makes files with either kind of line end readable.
const blanks = " \t\r"

// LoadFile reads a configuration file and what it includes, over the
// defaults. On a problem it returns what could be read together with all
// problems, as [Problems]; settings are checked one by one here and against
// each other in [Config.Validate].
//
// An included file's name is relative to the working directory, or if there
// is no such file there, to the directory of the file that includes it.
func LoadFile(path string) (*Config, error) {
	return load(path, readFile)
}

// load is LoadFile with another way to read files.
func load(path string, read func(name string) ([]byte, error)) (*Config, error) {
	r := &reader{config: Default(), read: read, peerAt: make(map[int]int)}
	r.file(place{}, path)
	return r.config, r.problems.err()
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from: nothing is lost when closing goes wrong
	return io.ReadAll(io.LimitReader(f, mostFileBytes+1))
}

type section uint8

const (
	sectionNone section = iota
	sectionUnknown
	sectionGlobal
	sectionDatabases
	sectionUsers
	sectionPeers
)

// reader goes through a configuration file and the files it includes. The
// section carries over into an included file and back out of it.
type reader struct {
	config   *Config
	read     func(name string) ([]byte, error)
	section  section
	chain    []string    // files being read, outermost first
	files    int         // read so far
	bytes    int         // read so far
	peerAt   map[int]int // position in Config.Peers by id
	problems Problems
}

func (r *reader) problem(at place, message string) {
	switch len(r.problems) {
	case mostProblems:
	case mostProblems - 1:
		r.problems = append(r.problems, at.problem("too many problems, the rest isn't shown"))
	default:
		r.problems = append(r.problems, at.problem(message))
	}
}

// full reports whether nothing more can be learnt by reading on.
func (r *reader) full() bool { return len(r.problems) >= mostProblems }

// file reads the first of the candidates that exists; at is where it was
// included.
func (r *reader) file(at place, candidates ...string) {
	switch {
	case len(r.chain) > mostIncludeDepth:
		r.problem(at, fmt.Sprintf("files included more than %d deep", mostIncludeDepth))
		return
	case r.files >= mostFiles:
		r.problem(at, fmt.Sprintf("more than %d files", mostFiles))
		return
	}
	name, content, err := r.first(candidates)
	if err != nil {
		r.problem(at, "reading configuration: "+err.Error())
		return
	}
	if slices.Contains(r.chain, filepath.Clean(name)) {
		r.problem(at, quoteShort(name)+" includes itself")
		return
	}
	r.files++
	r.bytes += len(content)
	if len(content) > mostFileBytes || r.bytes > mostTotalBytes {
		r.problem(place{file: name}, fmt.Sprintf("larger than %d bytes, or than %d together with other files", mostFileBytes, mostTotalBytes))
		return
	}
	r.chain = append(r.chain, filepath.Clean(name))
	r.lines(name, bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")))
	r.chain = r.chain[:len(r.chain)-1]
}

// first reads the first candidate that exists. The error, if none does, is
// about the first.
func (r *reader) first(candidates []string) (name string, content []byte, err error) {
	for _, candidate := range candidates {
		content, readErr := r.read(candidate)
		if readErr == nil || !errors.Is(readErr, fs.ErrNotExist) {
			return candidate, content, readErr
		}
		if err == nil {
			err = readErr
		}
	}
	return "", nil, err
}

func (r *reader) lines(name string, content []byte) {
	at := place{file: name}
	for line := range bytes.Lines(content) {
		at.line++
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case r.full():
			return
		case len(line) > mostLineBytes:
			r.problem(at, fmt.Sprintf("line longer than %d bytes", mostLineBytes))
		default:
			r.line(string(line), at)
		}
	}
}

// line reads one line. After a section's closing bracket the line may go on,
// as it may for PgBouncer.
func (r *reader) line(line string, at place) {
	line = strings.Trim(line, blanks)
	for strings.HasPrefix(line, "[") {
		name, rest, ok := strings.Cut(line[1:], "]")
		if !ok {
			r.problem(at, "missing the ] after a section's name")
			return
		}
		r.enter(name, at)
		line = strings.TrimLeft(rest, blanks)
	}
	switch {
	case line == "", line[0] == ';', line[0] == '#':
	case hasControl(line):
		r.problem(at, "control characters are not allowed")
	case line[0] == '%':
		name, ok := strings.CutPrefix(line, "%include")
		if !ok || strings.TrimLeft(name, blanks) == name {
			r.problem(at, "expected %include and a file name")
			return
		}
		r.include(strings.TrimLeft(name, blanks), at)
	default:
		name, value, ok := cutName(line)
		if !ok {
			r.problem(at, "expected name = value")
			return
		}
		r.assign(name, value, at)
	}
}

func (r *reader) enter(name string, at place) {
	switch name {
	case "pgbouncer", "carpool":
		r.section = sectionGlobal
	case "databases":
		r.section = sectionDatabases
	case "users":
		r.section = sectionUsers
	case "peers":
		r.section = sectionPeers
	default:
		r.section = sectionUnknown
		r.problem(at, unknownName("section", name, []string{"pgbouncer", "carpool", "databases", "users", "peers"}))
	}
}

func (r *reader) include(name string, at place) {
	if filepath.IsAbs(name) {
		r.file(at, name)
		return
	}
	r.file(at, name, filepath.Join(filepath.Dir(at.file), name))
}

// cutName splits "name = value", where name is a word or in double quotes.
func cutName(line string) (name, value string, ok bool) {
	rest := line
	if line[0] == '"' {
		if name, rest, ok = unquote(line, '"'); !ok {
			return "", "", false
		}
	} else {
		end := strings.IndexFunc(line, func(c rune) bool { return !isNameChar(c) })
		if end <= 0 {
			return "", "", false
		}
		name, rest = line[:end], line[end:]
	}
	value, ok = strings.CutPrefix(strings.TrimLeft(rest, blanks), "=")
	return name, strings.Trim(value, blanks), ok
}

func isNameChar(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_.-*", c)
}

// quoteName is the inverse of the name's part in cutName.
func quoteName(name string) string {
	if name != "" && !strings.ContainsFunc(name, func(c rune) bool { return !isNameChar(c) }) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// assign does what "name = value" means in the current section.
func (r *reader) assign(name, value string, at place) {
	switch r.section {
	case sectionNone:
		r.problem(at, "a setting before the first [section]")
	case sectionUnknown:
		// Reported where the section began.
	case sectionGlobal:
		for _, p := range r.config.set(name, value, at) {
			r.problem(at, p.Message)
		}
	case sectionDatabases:
		r.database(name, value, at)
	case sectionUsers:
		r.user(name, value, at)
	case sectionPeers:
		r.peer(name, value, at)
	}
}
