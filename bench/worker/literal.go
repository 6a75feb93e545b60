package worker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"carpool/bench/workload"
)

// appendSQL appends a statement with the values in the place of $1 to $9, for a simple query.
func appendSQL(text []byte, s workload.Statement, args []string) ([]byte, error) {
	sql := s.SQL
	for {
		at := strings.IndexByte(sql, '$')
		if at < 0 {
			return append(text, sql...), nil
		}
		text = append(text, sql[:at]...)
		sql = sql[at:]
		if len(sql) < 2 || sql[1] < '1' || sql[1] > '9' {
			text = append(text, '$')
			sql = sql[1:]
			continue
		}
		number := int(sql[1] - '0')
		if number > len(args) {
			return nil, fmt.Errorf("a statement has $%d and is given %d values", number, len(args))
		}
		sql = sql[2:]
		// The space keeps the value apart from a word or an operator before it.
		text = append(text, ' ')
		var err error
		if s.Bare {
			text, err = appendBare(text, args[number-1])
		} else {
			text, err = appendLiteral(text, args[number-1])
		}
		if err != nil {
			return nil, fmt.Errorf("writing the value of $%d into a statement: %w", number, err)
		}
	}
}

// appendBare appends a number or truth value without quotes, and refuses all else.
func appendBare(text []byte, value string) ([]byte, error) {
	switch value {
	case "true", "false", "null", "TRUE", "FALSE", "NULL":
		return append(text, value...), nil
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil && strings.Trim(value, "0123456789.eE+-") == "" {
		return append(text, value...), nil
	}
	return nil, errors.New("it is meant to be a number or a truth value and isn't")
}

// appendLiteral appends a string constant that every server reads as this value, whatever its settings and the encoding
// of the connection are: one with escapes, which has only ASCII in it, so that no byte can be taken for part of a character.
// A value of letters, digits and a few signs needs no escape.
func appendLiteral(text []byte, value string) ([]byte, error) {
	if isPlain(value) {
		text = append(text, '\'')
		text = append(text, value...)
		return append(text, '\''), nil
	}
	if !utf8.ValidString(value) {
		return nil, errors.New("it isn't UTF-8")
	}
	text = append(text, 'E', '\'')
	for _, r := range value {
		switch {
		case r == 0:
			return nil, errors.New("it has a zero byte, which Postgres' text can't have")
		case r == '\'':
			text = append(text, '\'', '\'')
		case r == '\\':
			text = append(text, '\\', '\\')
		case r < utf8.RuneSelf:
			text = append(text, byte(r))
		case r < 0x10000:
			text = fmt.Appendf(text, `\u%04X`, r)
		default:
			text = fmt.Appendf(text, `\U%08X`, r)
		}
	}
	return append(text, '\''), nil
}

func isPlain(value string) bool {
	for i := range len(value) {
		switch b := value[i]; {
		case b >= '0' && b <= '9', b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == ' ', b == '-', b == '.', b == '_', b == ',', b == ':', b == '+':
		default:
			return false
		}
	}
	return true
}
