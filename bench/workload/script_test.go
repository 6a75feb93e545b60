package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// show tells the steps of a script, one a line.
func show(p *scriptParser) string {
	var text strings.Builder
	for _, s := range p.steps {
		fmt.Fprintf(&text, "%d ", s.line)
		switch s.action {
		case send:
			text.WriteString(s.statement.SQL)
			for i, number := range s.parameters {
				fmt.Fprintf(&text, " $%d=%s", i+1, p.names[number])
			}
		case assign:
			fmt.Fprintf(&text, "set %s", p.names[s.into])
		case pause:
			fmt.Fprintf(&text, "sleep %s", s.pause)
			for _, number := range s.parameters {
				fmt.Fprintf(&text, " * %s", p.names[number])
			}
		case branch:
			fmt.Fprintf(&text, "unless %d", s.target)
		case jump:
			fmt.Fprintf(&text, "jump %d", s.target)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

func TestScriptSteps(t *testing.T) {
	for _, row := range []struct{ name, script, want string }{
		{"one command", "SELECT 1;", "1 SELECT 1\n"},
		{"no semicolon at the end", "SELECT 1;\nSELECT 2\n", "1 SELECT 1\n2 SELECT 2\n"},
		{"several on a line", "SELECT 1; SELECT 2;;", "1 SELECT 1\n1 SELECT 2\n"},
		{"several lines", "-- about it\n\nSELECT 1, -- one\n  2;\nEND;", "3 SELECT 1, \n  2\n5 END\n"},
		{"carriage returns", "\\set a 1\r\nSELECT :a;\r\n", "1 set a\n2 SELECT $1 $1=a\n"},
		{"block comments", "/* a; /* :b */ ' */ SELECT 1; /* end */", "1 /* a; /* :b */ ' */ SELECT 1\n"},
		{"semicolon in parentheses", "CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT 2);", "1 CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT 2)\n"},
		{"variables", "\\set b 1\nSELECT :b+:b, :client_id , -:b,:scale;", "1 set b\n2 SELECT $1+ $2, $3 , - $4,$5 $1=b $2=b $3=client_id $4=b $5=scale\n"},
		{"strings", `SELECT ':a;' || 'it''s :a' || E'\':a;' || '\' || N':a' ;`, `1 SELECT ':a;' || 'it''s :a' || E'\':a;' || '\' || N':a'` + "\n"},
		{"a name that ends in e", `SELECT type'\';`, `1 SELECT type'\'` + "\n"},
		{"quoted names", `SELECT 1 AS ":a"";";`, `1 SELECT 1 AS ":a"";"` + "\n"},
		{"dollar quotes", "SELECT $$:a;$$, $x$:a; $$ $x$, a$b$c;", "1 SELECT $$:a;$$, $x$:a; $$ $x$, a$b$c\n"},
		{"casts", "\\set a 1\nSELECT :a::int, '1'::text, now()::time;", "1 set a\n2 SELECT $1::int, '1'::text, now()::time $1=a\n"},
		{"slices and arguments", "\\set n 2\nSELECT a[1:n], a[x:n], a[f(1):n], a[:n], a[ :n : :n ], f(a := 1), '{1}'::int[];", "1 set n\n" +
			"2 SELECT a[1:n], a[x:n], a[f(1):n], a[$1], a[ $2 : $3 ], f(a := 1), '{1}'::int[] $1=n $2=n $3=n\n"},
		{"dollars in quotes", "SELECT '$1', $$ $2 $$;", "1 SELECT '$1', $$ $2 $$\n"},
		{"continued", "\\set a 1 + \\\n 2\nSELECT :a;", "1 set a\n3 SELECT $1 $1=a\n"},
		{
			"sleeps", "\\set d 1\n\\sleep 5\n\\sleep 5 us\n\\sleep 5ms\n\\sleep :d ms\nSELECT 1;",
			"1 set d\n2 sleep 5s\n3 sleep 5µs\n4 sleep 5ms\n5 sleep 1ms * d\n6 SELECT 1\n",
		},
		{"if", "\\if :scale > 1\nSELECT 1;\n\\endif\nSELECT 2;", "1 unless 2\n2 SELECT 1\n4 SELECT 2\n"},
		{"if else", "\\if 0\nSELECT 1;\n\\else\nSELECT 2;\n\\endif", "1 unless 3\n2 SELECT 1\n3 jump 4\n4 SELECT 2\n"},
		{"if elif else", "\\if 0\nSELECT 1;\n\\elif 1\nSELECT 2;\n\\elif 2\n\\else\nSELECT 3;\n\\endif\nSELECT 4;", "" +
			"1 unless 3\n2 SELECT 1\n3 jump 9\n3 unless 6\n4 SELECT 2\n5 jump 9\n5 unless 8\n6 jump 9\n7 SELECT 3\n9 SELECT 4\n"},
		{"if in if", "\\if 1\n\\if 0\nSELECT 1;\n\\endif\n\\else\nSELECT 2;\n\\endif", "1 unless 4\n2 unless 3\n3 SELECT 1\n5 jump 5\n6 SELECT 2\n"},
		{"copy between tables and programs", "COPY t FROM '/tmp/stdin';", "1 COPY t FROM '/tmp/stdin'\n"},
		{"set before use is not asked for", "SELECT :a;\n\\set a 1", "1 SELECT $1 $1=a\n2 set a\n"},
	} {
		p := newScriptParser("s", row.script)
		if err := p.parse(); err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if got := show(p); got != row.want {
			t.Errorf("%s: got\n%swant\n%s", row.name, got, row.want)
		}
	}
}

func TestScriptMistakes(t *testing.T) {
	for _, row := range []struct{ script, want string }{
		{"", "s.sql:1: a script without any SQL command"},
		{"-- only this\n/* and this */;", "s.sql:2: a script without any SQL command"},
		{"\\set a 1\n", "s.sql:2: a script without any SQL command"},
		{"SELECT 'a\nb;", "s.sql:1: a string without an end"},
		{"SELECT 1;\nSELECT \"a;", "s.sql:2: a quoted name without an end"},
		{"SELECT\n$x$a$$;", "s.sql:2: a string in dollar quotes without an end"},
		{"SELECT /* /* */;", "s.sql:1: a comment without an end"},
		{"SELECT 1\x00;", "s.sql:1: a NUL byte"},
		{"SELECT 1;\n\nSELECT :a;", "s.sql:3: variable a is set nowhere"},
		{"\\set b :a\nSELECT 1;", "s.sql:1: variable a is set nowhere"},
		{"SELECT $1;", "s.sql:1: a parameter $1: write a variable, as in :name"},
		{"SELECT '$1', :scale;", "s.sql:1: a $ before a digit within quotes or a comment, in a command that has variables"},
		{"SELECT a$1, :scale;", "s.sql:1: a $ before a digit within quotes or a comment, in a command that has variables"},
		{"SELECT * FROM accounts_:scale;", "s.sql:1: :scale directly behind '_': a variable's value can't be part of a name or number"},
		{"SELECT * FROM s.:scale;", "s.sql:1: :scale directly behind '.': a variable's value can't be part of a name or number"},
		{"SELECT " + strings.Repeat(":scale,", 9) + "1,\n:scale;", "s.sql:1: a command with more than 9 variables"},
		{"SELECT 1 \\gset", "s.sql:1: \\gset isn't supported"},
		{"SELECT 1,\n2\\gset p_\nSELECT :p_a;", "s.sql:2: \\gset isn't supported"},
		{"SELECT 1\\aset\r\nSELECT 2;", "s.sql:1: \\aset isn't supported"},
		{"SELECT 1 \\gsett", "s.sql:1: a meta command inside of the SQL command that began on line 1: a semicolon is missing before it"},
		{"SELECT 1\n\\sleep 1", "s.sql:2: a meta command inside of the SQL command that began on line 1: a semicolon is missing before it"},
		{"SELECT 1 \\; SELECT 2;", "s.sql:1: \\; isn't supported: end each command with a semicolon"},
		{"SELECT 1;\ncopy t FROM stdin;", "s.sql:2: COPY from or to the client isn't supported"},
		{"COPY (SELECT 1) TO STDOUT;", "s.sql:1: COPY from or to the client isn't supported"},
		{"\\gset", "s.sql:1: \\gset isn't supported"},
		{"\\startpipeline", "s.sql:1: \\startpipeline isn't supported"},
		{"\\setshell a date", "s.sql:1: \\setshell isn't supported"},
		{"\\wait 1", "s.sql:1: no meta command is called \\wait (there are \\set, \\sleep, \\if, \\elif, \\else, \\endif)"},
		{"\\set", "s.sql:1: \\set needs a name and an expression"},
		{"\\set a", "s.sql:1: \\set a: an expression is missing"},
		{"\\set 1a 1", "s.sql:1: \"1a\" can't be the name of a variable"},
		{"\\set a-b 1", "s.sql:1: \"a-b\" can't be the name of a variable"},
		{"SELECT 1;\n\\set a 1 + \\\n", "s.sql:2: \\set a: the expression ends too early"},
		{"\\sleep", "s.sql:1: \\sleep needs a whole number or a variable, and us, ms or s"},
		{"\\sleep -1", "s.sql:1: \\sleep needs a whole number or a variable, and us, ms or s"},
		{"\\sleep 1 h", "s.sql:1: \\sleep: \"h\" is no unit (there are us, ms and s)"},
		{"\\sleep 1000000", "s.sql:1: \\sleep: longer than 24h0m0s"},
		{"\\sleep 99999999999999999999 us", "s.sql:1: \\sleep: longer than 24h0m0s"},
		{"SELECT 1;\n\\if 1\n\\if 1\n\\endif", "s.sql:2: \\if without \\endif"},
		{"\\if\n\\endif", "s.sql:1: \\if: an expression is missing"},
		{"\\endif", "s.sql:1: \\endif without \\if"},
		{"\\else", "s.sql:1: \\else without \\if"},
		{"\\elif 1", "s.sql:1: \\elif without \\if"},
		{"\\if 1\n\\else\n\\else\n\\endif", "s.sql:3: \\else behind \\else"},
		{"\\if 1\n\\else\n\\elif 1\n\\endif", "s.sql:3: \\elif behind \\else"},
		{"\\if 1\n\\else 1", "s.sql:2: \\else takes nothing behind it"},
		{strings.Repeat("\\if 1\n", 101), "s.sql:101: \\if more than 100 levels deep"},
		{strings.Repeat("SELECT 1;", 10_001), "s.sql:1: more than 10000 commands"},
		{strings.Repeat(" ", 1<<20+1), "s.sql: a script of more than 1048576 bytes"},
	} {
		_, err := Script("s.sql", row.script)
		if err == nil || err.Error() != row.want {
			t.Errorf("%.60q:\ngot  %v\nwant %s", row.script, err, row.want)
		}
	}
}

// sent runs a script on a Session that says yes to everything, and returns what it was sent.
func sent(t *testing.T, script string, calls int) ([]string, error) {
	t.Helper()
	w, err := Script("s", script)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	d := &doctored{do: func(_ context.Context, st Statement, args []string) (Reply, error) {
		if !st.Bare {
			t.Errorf("%s: not bare", st.SQL)
		}
		asked = append(asked, strings.Join(append([]string{st.SQL}, args...), " "))
		return Reply{Status: outside}, nil
	}}
	caller := w.NewCaller(Place{Scale: 3}, 5, 7)
	for range calls {
		if err := caller.Call(t.Context(), d); err != nil {
			return asked, err
		}
	}
	return asked, nil
}

func TestScriptsRun(t *testing.T) {
	for _, row := range []struct {
		name, script string
		calls        int
		want         []string
	}{
		{"variables of the run", "SELECT :client_id, :scale, :random_seed;", 1, []string{"SELECT $1, $2, $3 5 3 7"}},
		{
			"kinds of values", "\\set a 1.5 * 2\n\\set b 1 < 2\n\\set c 1e20\n\\set d 1.0/3\nSELECT :a, :b, :c, :d;", 1,
			[]string{"SELECT $1, $2, $3, $4 3 true 1e+20 0.333333333333333"},
		},
		{"branches", "\\set n 0\n\\if :n > 0\nSELECT 1;\n\\elif :n = 0\nSELECT 2;\n\\else\nSELECT 3;\n\\endif\nSELECT 4;", 1, []string{"SELECT 2", "SELECT 4"}},
		{"else", "\\if FALSE\nSELECT 1;\n\\elif 0.0\nSELECT 2;\n\\else\nSELECT 3;\n\\endif", 1, []string{"SELECT 3"}},
		{"nothing holds", "\\if 0\nSELECT 1;\n\\elif 0\nSELECT 2;\n\\endif\nSELECT 3;", 2, []string{"SELECT 3", "SELECT 3"}},
		{
			"counting", "\\if :client_id = 5\n\\set client_id 100\n\\endif\n\\set client_id :client_id + 1\nSELECT :client_id;", 3,
			[]string{"SELECT $1 101", "SELECT $1 102", "SELECT $1 103"},
		},
	} {
		got, err := sent(t, row.script, row.calls)
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, %v; want %q", row.name, got, err, row.want)
		}
	}
	for _, row := range []struct{ script, want string }{
		{"SELECT 1;\n\\set a 1 / 0", "s:2: \\set a: division by zero"},
		{"\\if :a\n\\endif\n\\set a 1\nSELECT 1;", "s:1: condition: variable a has no value yet"},
		{"SELECT :a;\n\\set a 1", "s:1: variable a has no value yet"},
		{"\\sleep :a\n\\set a 1\nSELECT 1;", "s:1: \\sleep: variable a has no value yet"},
		{"\\set a 86401\n\\sleep :a\nSELECT 1;", "s:2: \\sleep: longer than 24h0m0s"},
		{"\\set a true\n\\sleep :a\nSELECT 1;", "s:2: \\sleep: a number is needed, not a truth"},
	} {
		_, err := sent(t, row.script, 1)
		var mistake *ScriptError
		if !errors.As(err, &mistake) || err.Error() != row.want {
			t.Errorf("%q: got %v, want %s", row.script, err, row.want)
		}
	}
}

func TestScriptsSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if _, err := sent(t, "\\set n 3\n\\set m -5\n\\sleep 250 us\n\\sleep :n ms\n\\sleep :m\n\\sleep 2\nSELECT 1;", 1); err != nil {
			t.Fatal(err)
		}
		if slept := time.Since(began); slept != 2*time.Second+3*time.Millisecond+250*time.Microsecond {
			t.Errorf("slept for %s", slept)
		}
		w, err := Script("s", "\\sleep 3600\nSELECT 1;")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.NewCaller(Place{}, 0, 0).Call(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a sleep longer than its context: %v", err)
		}
	})
}

func TestScriptsOnPostgres(t *testing.T) {
	s := connect(t)
	place := setUp(t, tpcb(), s, "scripted")
	for _, row := range []struct{ name, script, want string }{
		{"pgbench's own", `
\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
BEGIN;
UPDATE scripted.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM scripted.pgbench_accounts WHERE aid = :aid;
UPDATE scripted.pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE scripted.pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO scripted.pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
`, ""},
		{"numbers stay numbers", "\\set a 2\n\\set b -3\nSELECT 1 / (CASE WHEN :a-:b = 5 AND :a + :b = -1 AND 10%:b = 1 THEN 1 ELSE 0 END);", ""},
		{"an error", "SELECT 1;\nSELECT 1 / 0;", "s.sql:2: ERROR: division by zero (SQLSTATE 22012)"},
		{"an error in a transaction", "BEGIN;\nSELECT 1 / 0;", "s.sql:2: ERROR: division by zero (SQLSTATE 22012)"},
		{"a mistake in a transaction", "BEGIN;\n\\set a 1 / 0", "s.sql:2: \\set a: division by zero"},
		{"a transaction left open", "BEGIN;\nSELECT 1;", "s.sql: the script ends inside of a transaction"},
	} {
		w, err := Script("s.sql", row.script)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		caller := w.NewCaller(place, 0, 1)
		for range 3 {
			err := caller.Call(t.Context(), s)
			if row.want == "" && err != nil || row.want != "" && (err == nil || err.Error() != row.want) {
				t.Errorf("%s: got %v, want %q", row.name, err, row.want)
			}
			if status := s.conn.TxStatus(); status != outside {
				t.Errorf("%s: the transaction is left at %c", row.name, status)
			}
		}
	}
}

func FuzzScript(f *testing.F) {
	for _, seed := range []string{
		"SELECT 1;",
		"\\set a random(1, 10) * :scale % 3\n\\if :a > 1 and not :a = 2\nSELECT ':b', :a::int, $$x;$$ /* /* */ */;\n\\elif 1\n\\sleep 1 us\n\\else\nEND\n;\n\\endif",
		"\\set a case when 1 = 1 then -9223372036854775808 else least(1, 2.5) end \\\n + 1\nSELECT a[1:n], :a, E'\\'' \"q\"\"\" -- c",
		"\\set a ~1 << 2 | 3 # 4 & 5\nSELECT :a;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := Script("s", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "s:") {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		statements := 0
		d := &doctored{do: func(_ context.Context, st Statement, args []string) (Reply, error) {
			if statements++; statements > maxSteps {
				t.Fatal("a script without an end")
			}
			for i := range args {
				if !strings.Contains(st.SQL, fmt.Sprintf("$%d", i+1)) {
					t.Errorf("%q has no $%d", st.SQL, i+1)
				}
			}
			return Reply{Status: outside}, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // no sleeping
		_ = w.NewCaller(Place{Scale: 1}, 0, 1).Call(ctx, d)
	})
}
