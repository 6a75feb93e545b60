package prepared

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"carpool/proxy/wire"
)

// rest is the body of a Parse message after the name.
func rest(query string, types ...uint32) []byte {
	b := wire.AppendString(nil, query)
	b = append(b, byte(len(types)>>8), byte(len(types)))
	for _, t := range types {
		b = append(b, byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	}
	return b
}

func TestCatalogSharesEqualStatements(t *testing.T) {
	c := NewCatalog("carpool_ab")
	one := c.Intern(rest("select $1", 23))
	if one.Name() != "carpool_ab_1" {
		t.Errorf("the first name is %q", one.Name())
	}
	tests := []struct {
		name string
		rest []byte
		same bool
	}{
		{"the same", rest("select $1", 23), true},
		{"another type", rest("select $1", 25), false},
		{"no type", rest("select $1"), false},
		{"another query", rest("select $1 ", 23), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := c.Intern(tt.rest)
			defer s.Release()
			if (s == one) != tt.same || (s.Name() == one.Name()) != tt.same {
				t.Errorf("Intern gave %q, the first was %q", s.Name(), one.Name())
			}
		})
	}
	if c.Len() != 1 {
		t.Errorf("Len = %d with one statement referred to", c.Len())
	}
	one.Release()
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("Len = %d, Bytes = %d after the last reference", c.Len(), c.Bytes())
	}
	again := c.Intern(rest("select $1", 23))
	defer again.Release()
	if again.Name() == one.Name() {
		t.Errorf("the name %q was used twice", again.Name())
	}
}

func TestInternKeepsNothingOfItsArgument(t *testing.T) {
	c := NewCatalog("p")
	b := rest("select 1")
	s := c.Intern(b)
	clear(b)
	if s != c.Intern(rest("select 1")) {
		t.Error("the statement changed with the caller's buffer")
	}
}

func TestStatementMessages(t *testing.T) {
	c := NewCatalog("p")
	s := c.Intern(rest("select $1, $2", 23, 25))
	parse, err := (&pgproto3.Parse{Name: "p_1", Query: "select $1, $2", ParameterOIDs: []uint32{23, 25}}).Encode([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.AppendParse([]byte("x")); !bytes.Equal(got, parse) {
		t.Errorf("AppendParse\ngot  %q\nwant %q", got, parse)
	}
	closing, err := (&pgproto3.Close{ObjectType: 'S', Name: "p_1"}).Encode([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.AppendClose([]byte("x")); !bytes.Equal(got, closing) {
		t.Errorf("AppendClose\ngot  %q\nwant %q", got, closing)
	}
}

func TestReleasingTooOftenPanics(t *testing.T) {
	s := NewCatalog("p").Intern(rest("select 1"))
	s.Release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Release()
}

// Many goroutines intern and release the same few statements: whoever holds a
// reference sees the statement in the catalog, and at the end nothing is left.
func TestCatalogIsSafeForConcurrentUse(t *testing.T) {
	const goroutines, rounds, queries = 8, 2000, 5
	c := NewCatalog("p")
	var bodies [queries][]byte
	for i := range bodies {
		bodies[i] = rest(fmt.Sprint("select ", i))
	}
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for range rounds {
				body := bodies[r.IntN(queries)]
				s := c.Intern(body)
				s.Retain()
				s.Release()
				if again := c.Intern(body); again != s {
					t.Errorf("%q left the catalog although it is referred to", s.Name())
				} else {
					again.Release()
				}
				s.Release()
			}
		})
	}
	wg.Wait()
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("Len = %d, Bytes = %d at the end", c.Len(), c.Bytes())
	}
}

func TestNamesCountTheirFirst63Bytes(t *testing.T) {
	long := strings.Repeat("n", 63)
	c := NewCatalog("p")
	a, b := c.Intern(rest("select 1")), c.Intern(rest("select 2"))
	var n Names
	n.Set(long+"a", a)
	n.Set(long[:62], b)
	for _, tt := range []struct {
		name string
		want *Statement
	}{
		{long, a}, {long + "a", a}, {long + "bcd", a}, {long[:62], b}, {long[:61], nil}, {"", nil},
	} {
		got, ok := n.Lookup([]byte(tt.name))
		if ok != (tt.want != nil) || ok && got.Statement != tt.want {
			t.Errorf("Lookup(%q) = %v, %v", tt.name, got, ok)
		}
	}
	if !n.Delete([]byte(long+"zzz")) || n.Delete([]byte(long)) {
		t.Error("Delete doesn't go by the first 63 bytes")
	}
}

func TestNamesHoldReferences(t *testing.T) {
	c := NewCatalog("p")
	var n Names
	set := func(name, query string) {
		s := c.Intern(rest(query))
		n.Set(name, s)
		s.Release()
	}
	check := func(when string, names, statements int) {
		t.Helper()
		if n.Len() != names || c.Len() != statements {
			t.Errorf("%s: %d names, %d statements; want %d, %d", when, n.Len(), c.Len(), names, statements)
		}
	}
	if n.Delete([]byte("a")) {
		t.Error("an empty table deleted something")
	}
	set("a", "select 1")
	set("b", "select 1")
	check("two names for one statement", 2, 1)
	set("a", "select 2")
	check("one name set anew", 2, 2)
	set("a", "select 2")
	check("and to the same again", 2, 2)
	n.Delete([]byte("b"))
	check("one name deleted", 1, 1)
	n.Clear()
	check("cleared", 0, 0)
	if n.Bytes() != 0 {
		t.Errorf("Bytes = %d when empty", n.Bytes())
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	c := NewCatalog("p")
	body := rest("select 1")
	s := c.Intern(body)
	other := c.Intern(rest("select 2"))
	var n Names
	n.Set("a name that is longer than any small string optimisation", s)
	name := []byte("a name that is longer than any small string optimisation")
	cache := NewCache(10)
	cache.Add(s)
	cache.Add(other)
	buf := make([]byte, 0, 1024)
	for what, f := range map[string]func(){
		"Names.Lookup":          func() { n.Lookup(name) },
		"Cache.Has":             func() { cache.Has(s); cache.Has(other) },
		"Catalog.Intern":        func() { c.Intern(body).Release() },
		"Statement.AppendParse": func() { s.AppendParse(buf) },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s allocates %v times", what, got)
		}
	}
}

func BenchmarkBindPath(b *testing.B) {
	c := NewCatalog("p")
	s := c.Intern(rest("select 1"))
	var n Names
	n.Set("S_1", s)
	cache := NewCache(200)
	for i := range 200 {
		cache.Add(c.Intern(rest(fmt.Sprint("select ", i))))
	}
	cache.Add(s)
	name := []byte("S_1")
	b.ReportAllocs()
	for b.Loop() {
		one, _ := n.Lookup(name)
		if !cache.Has(one.Statement) {
			b.Fatal("not there")
		}
	}
}

func BenchmarkIntern(b *testing.B) {
	c := NewCatalog("p")
	body := rest("select " + strings.Repeat("some_column, ", 40) + " from some_table where id = $1")
	defer c.Intern(body).Release()
	b.ReportAllocs()
	for b.Loop() {
		c.Intern(body).Release()
	}
}
