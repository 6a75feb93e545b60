package state

import (
	"strings"
	"testing"
	"time"
)

// Texts are read on a loop that others wait for: none may take longer than in
// proportion to its length. What is worse takes minutes here.
func TestHostileTextsAreReadInTime(t *testing.T) {
	const size = 512 << 10
	fill := func(part string) string { return strings.Repeat(part, size/len(part)) }
	for name, text := range map[string]string{
		"signs":                   "explain select " + fill("+"),
		"signs behind operators":  "explain select " + fill("=+-"),
		"Unicode strings":         "explain select " + fill("U&''"),
		"escapes of them":         "explain select " + fill("U&''uescape "),
		"Unicode names":           "explain select " + fill(`U&""uescape `),
		"calls within calls":      "select " + fill("set_config("),
		"calls within values":     "select 1," + fill("set_config('a',"),
		"EXPLAIN of EXPLAIN":      fill("explain analyze ") + "select nextval('a'), nextval('a')",
		"PREPARE of PREPARE":      fill("prepare a as ") + "select 1",
		"comments that don't end": "select " + fill("/*"),
		"comments in comments":    "select " + fill("/*") + fill("*/"),
		"empty statements":        fill(";"),
		"settings":                fill("set a=1;"),
		"queries":                 fill("select 1;"),
		"queries with comments":   fill("select/**/1;"),
		"a list of schemas":       "set search_path to a" + fill(",a"),
		"blocks":                  "create function f() begin atomic " + fill("begin atomic "),
		"names of many parts":     "drop table a" + fill(".a"),
		"parentheses":             "create index " + fill("("),
		"tags of dollar quotes":   "explain select $a$" + fill("$b"),
		"WITH":                    fill("with a as ("),
		"strings in lines":        "explain select '" + fill("'\n'"),
		"bits":                    "explain select " + fill("b''"),
		"quotes":                  "explain select b'" + fill("'"),
		"words":                   "create table (" + fill(`"a" `),
	} {
		for _, d := range []Dialect{{}, {Strings: StringsEscape, Encoding: EncodingShiftJIS}, {Strings: StringsUnknown, Encoding: EncodingUnknown}} {
			var c Classifier
			start := time.Now()
			c.Classify([]byte(text), d)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: %v for %d bytes", name, took, len(text))
			}
		}
	}
}

// Where an argument is too long to be gone over, what is behind it isn't taken
// for the one that follows.
func TestArgumentsThatAreCut(t *testing.T) {
	var c Classifier
	value := "greatest(" + strings.Repeat("'', ", maxArgument) + "true, true)"
	for _, text := range []string{
		"select set_config('app.x', " + value + ", false)",
		"select set_config(" + value + ", 'x', false)",
	} {
		effects := c.Classify([]byte(text), Dialect{})
		if len(effects) != 1 || effects[0].Kind != KindSet || effects[0].Scope != ScopeSession || effects[0].Exact {
			t.Errorf("%.40s: %+v", text, effects)
		}
	}
}
