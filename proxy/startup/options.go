package startup

import (
	"strings"

	"carpool/proxy/wire"
)

// parseOptions reads the options string of a start-up packet: words of the
// form "-c name=value", "-cname=value" and "--name=value", in which a backslash
// makes the next character an ordinary one. Hyphens in names count as
// underscores. Everything else that a Postgres process takes on its command
// line is refused: it couldn't be set on a server connection that is already up.
// It takes one pass over s; at most MaxParams parameters are accepted.
func parseOptions(s string) ([]wire.Param, *wire.Report) {
	var params []wire.Param
	for {
		word, rest, ok, fault := nextWord(s)
		if fault != nil {
			return nil, fault
		}
		if !ok {
			return params, nil
		}
		s = rest
		setting := ""
		switch {
		case word == "-c":
			if setting, s, ok, fault = nextWord(s); fault != nil {
				return nil, fault
			} else if !ok {
				return nil, &wire.Report{Code: "42601", Message: "options: -c requires name=value"}
			}
		case strings.HasPrefix(word, "-c"):
			setting = word[2:]
		case strings.HasPrefix(word, "--"):
			setting = word[2:]
		default:
			return nil, faultf("42601", "options: unsupported argument \"%s\"", word)
		}
		name, value, ok := strings.Cut(setting, "=")
		if !ok || name == "" {
			return nil, faultf("42601", "options: \"%s\" requires name=value", word)
		}
		if len(params) == MaxParams {
			return nil, faultTooMany()
		}
		params = append(params, wire.Param{Name: strings.ReplaceAll(name, "-", "_"), Value: value})
	}
}

// nextWord takes the first word off s, without its backslashes. ok is false
// when there is none.
func nextWord(s string) (word, rest string, ok bool, fault *wire.Report) {
	s = strings.TrimLeft(s, optionSpace)
	if s == "" {
		return "", "", false, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return "", "", false, &wire.Report{Code: "42601", Message: "options: nothing follows the last backslash"}
			}
			b.WriteByte(s[i])
		case strings.IndexByte(optionSpace, c) >= 0:
			return b.String(), s[i:], true, nil
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", true, nil
}

// optionSpace is what separates words: C's isspace.
const optionSpace = " \t\n\v\f\r"
