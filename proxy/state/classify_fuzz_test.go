package state

import (
	"bytes"
	"slices"
	"testing"
)

// seeds are all texts of the tables.
func seeds() (out []string) {
	for _, group := range [][][2]string{
		plainStatements, transactionStatements, settingStatements, configCalls, preparedStatements, cursorStatements,
		temporaryStatements, schemaStatements, callingStatements, otherStatements, severalStatements, troubledTexts,
	} {
		for _, test := range group {
			out = append(out, test[0])
		}
	}
	return out
}

// careful is the dialect of Dialect{} for ASCII texts, in which no statement is
// taken to be plain.
var careful = Dialect{Encoding: EncodingDouble}

// FuzzClassify checks what holds of all texts: a statement that is taken to be
// plain has no effects when it is read carefully, and there are as many
// statements; effects are within the text, and outlive it when cloned.
func FuzzClassify(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for i, b := range text {
			if b >= 0x80 {
				text[i] = 'z'
			}
		}
		var quick, slow Classifier
		got, want := CloneEffects(nil, quick.Classify(text, Dialect{})), slow.Classify(text, careful)
		if a, b := shorthand(got), shorthand(want); a != b || quick.Statements() != slow.Statements() {
			t.Fatalf("%q\nquickly   %d: %s\ncarefully %d: %s", text, quick.Statements(), a, slow.Statements(), b)
		}
		for i, e := range got {
			if e.Start < 0 || e.End < e.Start || e.End > len(text) || e.Kind == 0 || e.Kind >= kinds {
				t.Fatalf("%q: effect %+v", text, e)
			}
			if i > 0 && e.Statement < got[i-1].Statement {
				t.Fatalf("%q: effects aren't in order", text)
			}
		}
		again := quick.Classify(text, Dialect{})
		if shorthand(again) != shorthand(got) {
			t.Fatalf("%q: another answer the second time: %s", text, shorthand(again))
		}
		for _, d := range []Dialect{{Strings: StringsEscape}, {Strings: StringsUnknown}, {Encoding: EncodingUnknown}, {Encoding: EncodingGB18030}} {
			quick.Classify(text, d)
		}
	})
}

// FuzzClassifyIgnoresForm checks that neither comments and space between tokens
// nor the case of words matter.
func FuzzClassifyIgnoresForm(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s), uint64(0x9e3779b97f4a7c15))
	}
	f.Fuzz(func(t *testing.T, text []byte, choice uint64) {
		if !ascii(text) {
			return
		}
		var c Classifier
		want := forms(c.Classify(text, Dialect{}))
		changed := reformed(text, choice)
		if got := forms(c.Classify(changed, Dialect{})); !slices.Equal(got, want) {
			t.Fatalf("%q  %q\n%q  %q", text, want, changed, got)
		}
	})
}

// forms writes effects without what quotes the text as it is.
func forms(effects []Effect) (out []string) {
	for _, e := range effects {
		switch e.Kind {
		case KindPrepare, KindBegin:
			e.Value, e.Types = nil, nil
		}
		out = append(out, shorthand([]Effect{e}))
	}
	return out
}

// reformed puts space and comments between the tokens of text, and changes the
// case of words, as choice says.
func reformed(text []byte, choice uint64) []byte {
	gaps := []string{" ", "\n", "/* nextval('x'); */", " /* /* ' */ \" */\t", " -- $$ ; listen x\n", "\r\n", "/**/"}
	l := NewLexer(text, Dialect{})
	var out []byte
	next := func(n int) int {
		choice = choice*6364136223846793005 + 1442695040888963407
		return int(choice>>33) % n
	}
	at := 0
	for {
		token := l.Next()
		if token.Kind == TokenEnd {
			return append(out, text[at:]...)
		}
		out = append(out, text[at:token.Start]...)
		at = token.End
		raw := text[token.Start:token.End]
		switch token.Kind {
		case TokenWord:
			if next(2) == 0 {
				raw = bytes.ToUpper(raw)
			}
		case TokenIncomplete:
			return append(out, raw...)
		}
		out = append(out, raw...)
		switch token.Kind {
		case TokenString, TokenEscapeString, TokenUnicodeString, TokenBitString, TokenUnicodeQuoted, TokenStray:
			// A line break could continue a string. A stray dollar is one of no
			// other kind only where it stands.
			continue
		case TokenWord, TokenNumber, TokenParameter, TokenSelf, TokenOperator, TokenQuoted, TokenDollar:
			out = append(out, gaps[next(len(gaps))]...)
		}
	}
}

// TestEffectsAreBounded says how many effects are kept, and that there were more.
func TestEffectsAreBounded(t *testing.T) {
	var c Classifier
	effects := c.Classify(bytes.Repeat([]byte("listen a;"), 2*MaxEffects), Dialect{})
	if len(effects) != MaxEffects+1 || effects[MaxEffects].Reason != ReasonTooMany {
		t.Errorf("%d effects, the last %v", len(effects), effects[len(effects)-1])
	}
}

// TestClassifyAllocatesNothing for what has no effects, and little for what has.
func TestClassifyAllocatesNothing(t *testing.T) {
	var c Classifier
	for text, want := range map[string]float64{
		"select a, count(*) from t where b = 'x' and c in (1, 2) group by a":    0,
		"insert into t (a, b) values ($1, $2) returning id":                     0,
		"/* app */ select coalesce(a, 'x') from t; select 2":                    0,
		"with x as (select 1) update t set a = 2 from x where t.b = x.b":        0,
		"select E'\\n' || $$x$$, pg_advisory_xact_lock(1), U&\"x\" from t -- c": 0,
		"begin; set local a.b = 'c'; commit":                                    0,
		"select nextval('s'), pg_advisory_lock(1)":                              0,
		"set time zone 'utc'":         1,
		"set search_path to a, \"b\"": 2,
	} {
		query := []byte(text)
		if got := testing.AllocsPerRun(100, func() { c.Classify(query, Dialect{}) }); got > want {
			t.Errorf("%s: %v allocations, want at most %v", text, got, want)
		}
	}
}

// Queries as drivers and object-relational mappers send them.
var benchmarks = []struct{ name, text string }{
	{"pgbench", "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"},
	{"200 bytes", `SELECT "books"."isbn", "books"."author", "books"."title", "books"."price" FROM "books" WHERE ("books"."author" = 'Le Guin' AND "books"."price" < 20.5 AND lower("books"."title") = $1) LIMIT 21`},
	{"update", "UPDATE accounts SET balance = balance + $1, changed_at = now() WHERE id = $2 AND owner IN (SELECT id FROM owners WHERE active) RETURNING balance"},
	{"2 kB", ormQuery()},
	{"lexed", "SELECT E'a\\n', $$x$$ FROM t WHERE a = 1"},
	{"begin", "BEGIN"},
	{"set local", "SET LOCAL search_path TO tenant_4711, public"},
	{"set_config", "SELECT set_config('app.tenant', $1, true)"},
	{"listen", "LISTEN changes"},
	{"create temp", "CREATE TEMP TABLE staging (id bigint, payload jsonb) ON COMMIT DROP"},
}

// ormQuery is a query with all columns of joined tables by name.
func ormQuery() string {
	var out bytes.Buffer
	out.WriteString("SELECT ")
	for _, table := range []string{"orders", "order_items", "customers", "addresses"} {
		for _, column := range []string{"id", "created_at", "updated_at", "state", "tenant_id", "external_reference", "amount", "currency", "note"} {
			out.WriteString(table + "_1." + column + " AS " + table + "_" + column + ", ")
		}
	}
	out.WriteString("count(*) AS n FROM orders AS orders_1 LEFT OUTER JOIN order_items AS order_items_1 ON orders_1.id = order_items_1.order_id " +
		"WHERE orders_1.tenant_id = %(tenant_id_1)s::UUID AND orders_1.state IN ('open', 'paid') AND coalesce(orders_1.note, '') LIKE 'a%' ORDER BY 1")
	return out.String()
}

func BenchmarkClassify(b *testing.B) {
	for _, query := range benchmarks {
		b.Run(query.name, func(b *testing.B) {
			var c Classifier
			text := []byte(query.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				c.Classify(text, Dialect{})
			}
		})
	}
}
