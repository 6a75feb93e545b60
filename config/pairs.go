package config

import (
	"errors"
	"strings"
)

// pair is one key=value of an entry in [databases], [users] or [peers].
type pair struct {
	key, value string
	quoted     bool // whether the value was in quotes, so that its end is certain
}

// splitPairs splits "key=value key='quoted value'". Blanks around the equals
// sign are allowed; a quote within quotes is doubled. Errors repeat nothing
// of the text, since any part of it may be a password.
func splitPairs(text string) ([]pair, error) {
	var pairs []pair
	for {
		text = strings.TrimLeft(text, blanks)
		if text == "" {
			return pairs, nil
		}
		equals := strings.IndexByte(text, '=')
		if equals < 0 {
			return pairs, errors.New("expected key=value")
		}
		key := strings.TrimRight(text[:equals], blanks)
		if key == "" || strings.ContainsAny(key, blanks+"'") {
			return pairs, errors.New("expected key=value")
		}
		value, rest, err := cutValue(strings.TrimLeft(text[equals+1:], blanks))
		if err != nil {
			return pairs, err
		}
		pairs = append(pairs, value)
		pairs[len(pairs)-1].key = key
		text = rest
	}
}

// cutValue takes the value, quoted or up to the next blank, from the front.
func cutValue(text string) (value pair, rest string, err error) {
	if text == "" {
		return pair{}, "", errors.New("expected a value after the last =")
	}
	if text[0] != '\'' {
		end := strings.IndexAny(text, blanks)
		if end < 0 {
			end = len(text)
		}
		return pair{value: text[:end]}, text[end:], nil
	}
	content, rest, ok := unquote(text, '\'')
	if !ok {
		return pair{}, "", errors.New("missing a closing '")
	}
	if rest != "" && !strings.ContainsRune(blanks, rune(rest[0])) {
		return pair{}, "", errors.New("expected a blank after a closing ' (a ' within quotes is doubled)")
	}
	return pair{value: content, quoted: true}, rest, nil
}

// unquote reads a quoted string from the front of text, in which the quote
// itself is doubled.
func unquote(text string, mark byte) (content, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != mark:
			b.WriteByte(text[i])
		case i+1 < len(text) && text[i+1] == mark:
			b.WriteByte(mark)
			i++
		default:
			return b.String(), text[i+1:], true
		}
	}
	return "", "", false
}

// quoteValue is the inverse of cutValue.
func quoteValue(value string) string {
	if value != "" && !strings.ContainsAny(value, blanks+"'") {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// setPairs sets fields of target from the pairs of text, the last of repeated
// keys winning, and returns what is wrong. Keys that aren't in the table are
// offered to other, which reports whether it took them.
func setPairs[T any](target *T, keys []key[T], text string, other func(p pair) bool) []string {
	var wrong []string
	pairs, err := splitPairs(text)
	if err != nil {
		wrong = append(wrong, err.Error())
	}
	uncertain := false
	for _, p := range pairs {
		if len(wrong) >= mostProblems {
			break
		}
		k, ok := findKey(keys, p.key)
		switch {
		case ok:
			if err := k.bind.set(target, p.value); err != nil {
				wrong = append(wrong, k.Name+": "+err.Error())
			}
			// A secret with a blank in it ends early when it isn't quoted: its
			// second half then looks like a key.
			uncertain = uncertain || k.Secret && !p.quoted
		case other(p):
		case strings.Contains(p.key, "://"):
			wrong = append(wrong, "expected key=value, not a URL")
		case strings.ContainsFunc(p.key, func(c rune) bool { return !isNameChar(c) }):
			// Nobody's key: more likely a piece of a password.
			wrong = append(wrong, "expected key=value")
		case uncertain:
			wrong = append(wrong, "unknown key after the password, not shown as it may be a part of it (a password with blanks needs quotes)")
		default:
			wrong = append(wrong, unknownName("key", p.key, keyNames(keys)))
		}
	}
	return wrong
}
