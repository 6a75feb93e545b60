package sidecar

import "testing"

func TestParseShare(t *testing.T) {
	for text, want := range map[string]float64{"1/8": 0.125, "0.125": 0.125, "12.5%": 0.125, "1": 1, "100%": 1, " 3/4 ": 0.75, "1/1": 1} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("%s: got %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "0/8", "1/0", "2", "3/2", "-1", "-1/8", "nan", "inf", "0x1p-3", "1/8/2", "101%", "1e400", "half", "%"} {
		if got, err := ParseShare(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	for _, seed := range []string{"1/8", "0.125", "12.5%", "1e-9", "1/65535"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		share, err := ParseShare(text)
		if err == nil && !(share > 0 && share <= 1) {
			t.Errorf("%q is %v", text, share)
		}
	})
}

func TestShareOfLimits(t *testing.T) {
	for _, row := range []struct {
		limits Limits
		share  float64
		want   int
		words  string
	}{
		{Limits{20, 3, -1, -1}, 0.125, 2, "max_connections 20 less 3 reserved: 17 usable; SHARE of them is 2"},
		{Limits{500, 10, 40, -1}, 0.125, 5, "max_connections 500 less 10 reserved, the role's limit 40: 40 usable; SHARE of them is 5"},
		{Limits{500, 10, 40, 20}, 0.5, 10, "max_connections 500 less 10 reserved, the role's limit 40, the database's limit 20: 20 usable; SHARE of them is 10"},
		{Limits{33, 3, -1, -1}, 0.1, 3, "max_connections 33 less 3 reserved: 30 usable; SHARE of them is 3"},
		{Limits{20, 3, -1, -1}, 0.001, 1, "max_connections 20 less 3 reserved: 17 usable; SHARE of them is 1"},
		{Limits{3, 10, -1, -1}, 1, 1, "max_connections 3 less 10 reserved: 0 usable; SHARE of them is 1"},
		{Limits{20, 3, 0, -1}, 1, 1, "max_connections 20 less 3 reserved, the role's limit 0: 0 usable; SHARE of them is 1"},
	} {
		if got, words := row.limits.Share(row.share, "SHARE"); got != row.want || words != row.words {
			t.Errorf("%+v: got %d, %s", row.limits, got, words)
		}
	}
}
