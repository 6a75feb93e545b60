package proxy

import (
	"testing"

	"carpool/proxy/prepared"
	"carpool/proxy/state"
	"carpool/proxy/wire"
)

// The same bytes in two encodings are two queries, and must not share a
// statement; plain ASCII means the same to all.
func TestStatementsOfTwoEncodingsAreTwo(t *testing.T) {
	var interner state.Interner
	params := func(encoding, conforming string) *state.Params {
		p, ok := interner.Of([]wire.Param{
			{Name: "client_encoding", Value: encoding}, {Name: "standard_conforming_strings", Value: conforming},
		})
		if !ok {
			t.Fatal("parameters weren't accepted")
		}
		return p
	}
	styled := func(style string) *state.Params {
		p, _ := interner.With(params("UTF8", "on"), "DateStyle", style)
		return p
	}
	tests := []struct {
		name  string
		query string
		a, b  *state.Params
		same  bool
	}{
		{"plain ASCII", "select 'a'", params("LATIN1", "on"), params("UTF8", "off"), true},
		{"beyond ASCII", "select '\xc3\xa4'", params("LATIN1", "on"), params("UTF8", "on"), false},
		{"backslash", `select '\'''`, params("UTF8", "on"), params("UTF8", "off"), false},
		{"constants", "select date '1/2/2024'", styled("ISO, MDY"), styled("ISO, DMY"), false},
		{"a dollar-quoted constant", "select $$1/2/2024$$::date", styled("ISO, MDY"), styled("ISO, DMY"), false},
		{"parameters", "select $1::date", styled("ISO, MDY"), styled("ISO, DMY"), true},
		{"equal dialects", "select '\xc3\xa4\\'", params("UTF8", "on"), params("UTF8", "on"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			catalog := &translation{catalog: prepared.NewCatalog("test")}
			body := append([]byte(tt.query), 0, 0, 0)
			a := (&statements{translation: catalog, params: tt.a}).intern(body)
			b := (&statements{translation: catalog, params: tt.b}).intern(body)
			if (a == b) != tt.same {
				t.Errorf("shared: %v, want %v", a == b, tt.same)
			}
			a.Release()
			b.Release()
			if n := catalog.catalog.Len(); n != 0 {
				t.Errorf("%d statements are left", n)
			}
		})
	}
}
