package auth

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// token is a word of a file of rules. Commas are tokens, too.
type token struct {
	text   string
	quoted bool // in double quotes, so that it is a name and nothing else
	comma  bool
}

// String is the token as it may stand in an error.
func (t token) String() string {
	const limit = 80
	if len(t.text) > limit {
		return fmt.Sprintf("%q...", t.text[:limit])
	}
	return fmt.Sprintf("%q", t.text)
}

const hbaBlanks = " \t\r\v\f"

// tokenize takes a line apart. A # outside quotes begins a comment.
func tokenize(line string) ([]token, error) {
	if len(line) > maxHBALine {
		return nil, fmt.Errorf("line is longer than %d bytes", maxHBALine)
	}
	if strings.IndexByte(line, 0) >= 0 {
		return nil, errors.New("zero byte")
	}
	var tokens []token
	for {
		line = strings.TrimLeft(line, hbaBlanks)
		switch {
		case line == "" || line[0] == '#':
			return tokens, nil
		case line[0] == ',':
			tokens, line = append(tokens, token{text: ",", comma: true}), line[1:]
		case line[0] == '"':
			text, rest, ok := quoted(line)
			if !ok {
				return nil, errors.New("missing a closing quote")
			}
			if text == "" {
				return nil, errors.New("empty name")
			}
			tokens, line = append(tokens, token{text: text, quoted: true}), rest
		default:
			end := strings.IndexAny(line, hbaBlanks+`,#"`)
			if end < 0 {
				end = len(line)
			}
			tokens, line = append(tokens, token{text: line[:end]}), line[end:]
		}
	}
}

// hbaFields are the fields of a rule that haven't been read: each is one token,
// or several with commas between.
type hbaFields struct {
	list [][]token
	err  error
}

// fieldsOf puts the tokens of a line together to fields.
func fieldsOf(tokens []token) hbaFields {
	var f hbaFields
	joined := false // by a comma with what comes before
	for _, t := range tokens {
		switch {
		case t.comma && (joined || len(f.list) == 0):
			return hbaFields{err: errors.New("a comma without a name before it")}
		case t.comma:
			joined = true
			continue
		case joined:
			f.list[len(f.list)-1] = append(f.list[len(f.list)-1], t)
		default:
			f.list = append(f.list, []token{t})
		}
		joined = false
	}
	if joined {
		return hbaFields{err: errors.New("a comma without a name behind it")}
	}
	return f
}

// next takes the next field; it is empty when there is none.
func (f *hbaFields) next() []token {
	if len(f.list) == 0 {
		return nil
	}
	field := f.list[0]
	f.list = f.list[1:]
	return field
}

// word takes the next field, if it is one word.
func (f *hbaFields) word() (string, bool) {
	field := f.next()
	if len(field) != 1 {
		return "", false
	}
	return field[0].text, true
}

// lines yields the lines of a file with their numbers, from 1.
func lines(content []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		number := 0
		for line := range strings.Lines(string(content)) {
			number++
			if !yield(number, strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}

// faults collects what is wrong with a file.
type faults []error

// add notes one fault, and reports whether there are enough of them.
func (f *faults) add(name string, line int, err error) (enough bool) {
	*f = append(*f, fmt.Errorf("%s:%d: %w", name, line, err))
	return len(*f) >= maxListFault
}

func (f faults) err() error { return errors.Join(f...) }
