package prepared

import (
	"iter"
	"strings"
)

// Sensitivity is what the meaning of a query's text depends on besides it. Each
// includes the one before.
type Sensitivity uint8

// The sensitivities.
const (
	// SensitiveToPath: on which tables and functions its names are.
	SensitiveToPath Sensitivity = iota
	// SensitiveToConstants: on how strings are read as dates, say, which is done
	// when it is prepared.
	SensitiveToConstants
	// SensitiveToBytes: on what a backslash and a byte beyond ASCII are.
	SensitiveToBytes
)

// SensitivityOf tells it of the text of a query, which ends at the first zero.
func SensitivityOf(text []byte) Sensitivity {
	found := SensitiveToPath
	for i, c := range text {
		switch {
		case c == 0:
			return found
		case c >= 0x80 || c == '\\':
			return SensitiveToBytes
		case c == '\'', c == '$' && i+1 < len(text) && (text[i+1] < '0' || text[i+1] > '9'):
			found = SensitiveToConstants
		}
	}
	return found
}

// decisive are the parameters that decide on the meaning of a text, and the
// sensitivity from which on they do. The search_path is first. Some decide on what
// a server computes when it plans a statement, and keeps: a number as text.
var decisive = [...]struct {
	name string
	from Sensitivity
}{
	{"search_path", SensitiveToPath},
	{"IntervalStyle", SensitiveToPath},
	{"extra_float_digits", SensitiveToPath},
	{"transform_null_equals", SensitiveToPath},
	{"DateStyle", SensitiveToConstants},
	{"TimeZone", SensitiveToConstants},
	{"array_nulls", SensitiveToConstants},
	{"bytea_output", SensitiveToConstants},
	{"lc_monetary", SensitiveToConstants},
	{"timezone_abbreviations", SensitiveToConstants},
	{"xmloption", SensitiveToConstants},
	{"backslash_quote", SensitiveToBytes},
	{"client_encoding", SensitiveToBytes},
	{"standard_conforming_strings", SensitiveToBytes},
}

// Decides reports whether a parameter decides on what a text means, in any case
// of its name; path: it is the one whose changes servers follow by themselves.
func Decides(name string) (path, decides bool) {
	for i := range decisive {
		if strings.EqualFold(decisive[i].name, name) {
			return i == 0, true
		}
	}
	return false, false
}

// Meaning is the values of the parameters that decide on what texts mean, as a
// client has them at some time. It is immutable.
type Meaning struct {
	// text is who the client is, if it may matter, and then the values, each with a
	// sign before it if it is known. All have a zero behind them.
	text  string
	start int32 // of the values
	ends  [len(decisive)]int32
}

// NewMeaning makes one of what value says of a parameter; false is not known.
func NewMeaning(value func(name string) (string, bool)) *Meaning {
	m := &Meaning{}
	text := make([]byte, 0, 128)
	if path, known := value(decisive[0].name); !known || strings.Contains(path, "$user") {
		user, _ := value("session_authorization")
		role, _ := value("role")
		text = append(append(append(text, user...), ' '), role...)
	}
	text = append(text, 0)
	m.start = int32(len(text))
	for i := range decisive {
		if v, known := value(decisive[i].name); known {
			text = append(append(text, '='), v...)
		}
		text = append(text, 0)
		m.ends[i] = int32(len(text))
	}
	m.text = string(text)
	return m
}

// Equal reports whether all texts mean the same under both.
func (m *Meaning) Equal(other *Meaning) bool { return m.text == other.text }

// Key tells texts of a sensitivity apart that are equal and mean something else.
// It is another one for each user where the search_path leads to a schema of its
// own.
func (m *Meaning) Key(s Sensitivity) string { return m.text[:m.end(s)] }

// Values is Key without the user.
func (m *Meaning) Values(s Sensitivity) string { return m.text[m.start:m.end(s)] }

// BesidesPath is Key without the search_path.
func (m *Meaning) BesidesPath(s Sensitivity) string { return m.text[m.ends[0]:m.end(s)] }

func (m *Meaning) end(s Sensitivity) int32 {
	last := 0
	for i := range decisive {
		if decisive[i].from <= s {
			last = i
		}
	}
	return m.ends[last]
}

// Setting is the value of a parameter, if it is known.
type Setting struct {
	Name, Value string
	Known       bool
}

// Differences yields the parameters that matter for a sensitivity and have other
// values under other, or all of them if that is nil, with the values here.
func (m *Meaning) Differences(other *Meaning, s Sensitivity) iter.Seq[Setting] {
	return func(yield func(Setting) bool) {
		for i := range decisive {
			here := m.value(i)
			if decisive[i].from > s || other != nil && other.value(i) == here {
				continue
			}
			if !yield(Setting{Name: decisive[i].name, Value: strings.TrimPrefix(here, "="), Known: here != ""}) {
				return
			}
		}
	}
}

// value is that of a parameter, with its sign.
func (m *Meaning) value(i int) string {
	start := m.start
	if i > 0 {
		start = m.ends[i-1]
	}
	return m.text[start : m.ends[i]-1]
}
