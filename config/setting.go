package config

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Setting describes one setting. It is a copy: changing it changes nothing.
type Setting struct {
	Name       string   // as in the file
	Aliases    []string // other names it is known by
	Group      string   // heading under which it is documented
	Unit       string   // "s", "ms", "bytes", or "" where the value has none
	Default    string   // as it would be written in the file
	Doc        string   // one sentence
	Reloadable bool     // whether a change takes effect without a restart
	Reconnect  bool     // whether a change asks for new server connections
	Effective  bool     // whether carpool acts on it yet
	Own        bool     // whether it is carpool's own, unknown to PgBouncer
	Secret     bool     // whether its value must never be shown
}

// Settings returns the settings of section [pgbouncer] (or [carpool]), in the
// order in which they are documented.
func Settings() []Setting { return describe(globalKeys) }

// DatabaseSettings returns the keys of an entry of [databases].
func DatabaseSettings() []Setting { return describe(databaseKeys) }

// UserSettings returns the keys of an entry of [users].
func UserSettings() []Setting { return describe(userKeys) }

// PeerSettings returns the keys of an entry of [peers].
func PeerSettings() []Setting { return describe(peerKeys) }

func describe[T any](keys []key[T]) []Setting {
	list := make([]Setting, len(keys))
	for i := range keys {
		list[i] = keys[i].Setting
		list[i].Aliases = slices.Clone(list[i].Aliases)
	}
	return list
}

// trait is a property of a setting, as the tables note it.
type trait uint8

const (
	acts      trait = 1 << iota // carpool acts on it
	restart                     // not reloadable
	reconnect                   // a change asks for new server connections
	own                         // carpool's own
	secret                      // never shown
)

// key is a setting together with the field of T that holds it.
type key[T any] struct {
	Setting
	bind binding[T]
}

// binding reads, prints and copies the field of T that holds one setting. Errors of
// set say what was expected and never repeat the text.
type binding[T any] interface {
	set(target *T, text string) error
	text(target *T) string
	copy(to, from *T)
}

func row[T any](name, unit, standard string, traits trait, bind binding[T], doc string) key[T] {
	return key[T]{
		Setting: Setting{
			Name: name, Unit: unit, Default: standard, Doc: doc,
			Reloadable: traits&restart == 0,
			Reconnect:  traits&reconnect != 0,
			Effective:  traits&acts != 0,
			Own:        traits&own != 0,
			Secret:     traits&secret != 0,
		},
		bind: bind,
	}
}

func (k key[T]) alias(names ...string) key[T] {
	k.Aliases = names
	return k
}

func group[T any](heading string, keys ...key[T]) []key[T] {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i].Group = heading
	}
	return keys
}

// findKey returns the key called name, also by an alias.
func findKey[T any](keys []key[T], name string) (*key[T], bool) {
	for i := range keys {
		if keys[i].Name == name || slices.Contains(keys[i].Aliases, name) {
			return &keys[i], true
		}
	}
	return nil, false
}

func keyNames[T any](keys []key[T]) []string {
	var names []string
	for i := range keys {
		names = append(names, keys[i].Name)
		names = append(names, keys[i].Aliases...)
	}
	return names
}

// field is the binding of a field of type V.
type field[T, V any] struct {
	at     func(*T) *V
	parse  func(string) (V, error)
	format func(V) string
}

func (f field[T, V]) set(target *T, text string) error {
	v, err := f.parse(text)
	if err != nil {
		return err
	}
	*f.at(target) = v
	return nil
}

func (f field[T, V]) text(target *T) string { return f.format(*f.at(target)) }

func (f field[T, V]) copy(to, from *T) { *f.at(to) = *f.at(from) }

func number[T any](at func(*T) *int, least, most int) binding[T] {
	return field[T, int]{at, func(s string) (int, error) { return parseInt(s, least, most) }, strconv.Itoa}
}

func size[T any](at func(*T) *int, least, most int) binding[T] {
	return field[T, int]{at, func(s string) (int, error) { return parseSize(s, least, most) }, strconv.Itoa}
}

func yesNo[T any](at func(*T) *bool) binding[T] {
	return field[T, bool]{at, parseBool, formatBool}
}

func text[T any](at func(*T) *string) binding[T] {
	return field[T, string]{at, parseText, formatText}
}

func list[T any](at func(*T) *[]string) binding[T] {
	return field[T, []string]{at, parseList, formatList}
}

// hosts is a list printed without blanks, so that it needs no quotes.
func hosts[T any](at func(*T) *[]string) binding[T] {
	return field[T, []string]{at, parseList, func(hosts []string) string { return strings.Join(hosts, ",") }}
}

func ports[T any](at func(*T) *[]int) binding[T] {
	return field[T, []int]{at, parsePorts, formatPorts}
}

func fileMode[T any](at func(*T) *fs.FileMode) binding[T] {
	return field[T, fs.FileMode]{at, parseFileMode, formatFileMode}
}

func protocols[T any](at func(*T) *TLSProtocols) binding[T] {
	return field[T, TLSProtocols]{at, parseProtocols, TLSProtocols.String}
}

func choice[T any, E enumeration](at func(*T) *E) binding[T] {
	return field[T, E]{at, parseEnum[E], enumText[E]}
}

func seconds[T any](at func(*T) *time.Duration) binding[T] {
	return field[T, time.Duration]{at, parseSeconds, formatSeconds}
}

func milliseconds[T any](at func(*T) *time.Duration) binding[T] {
	return field[T, time.Duration]{
		at,
		func(s string) (time.Duration, error) { return parseTime(s, time.Millisecond) },
		func(d time.Duration) string { return formatTime(d, time.Millisecond) },
	}
}

func maybeNumber[T any](at func(*T) *Optional[int], least, most int) binding[T] {
	parse := func(s string) (int, error) { return parseInt(s, least, most) }
	return maybe(at, parse, strconv.Itoa)
}

func maybeChoice[T any, E enumeration](at func(*T) *Optional[E]) binding[T] {
	return maybe(at, parseEnum[E], enumText[E])
}

func maybeYesNo[T any](at func(*T) *Optional[bool]) binding[T] {
	return maybe(at, parseBool, formatBool)
}

func maybeSeconds[T any](at func(*T) *Optional[time.Duration]) binding[T] {
	return maybe(at, parseSeconds, formatSeconds)
}

// maybe is the binding of an optional field; absent is printed as "" and read
// as such. Like PgBouncer it takes -1 for absent, too.
func maybe[T, V any](at func(*T) *Optional[V], parse func(string) (V, error), format func(V) string) binding[T] {
	return field[T, Optional[V]]{
		at,
		func(s string) (Optional[V], error) {
			if s == "" || s == "-1" {
				return Optional[V]{}, nil
			}
			v, err := parse(s)
			return Optional[V]{Value: v, Set: err == nil}, err
		},
		func(o Optional[V]) string {
			if !o.Set {
				return ""
			}
			return format(o.Value)
		},
	}
}

func parseText(s string) (string, error)           { return s, nil }
func formatText(s string) string                   { return s }
func parseSeconds(s string) (time.Duration, error) { return parseTime(s, time.Second) }
func formatSeconds(d time.Duration) string         { return formatTime(d, time.Second) }
