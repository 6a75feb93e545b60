package proxy

import (
	"slices"
	"testing"

	"carpool/config"
)

func TestLoginLimit(t *testing.T) {
	for _, tt := range []struct {
		most, configured int
		clients          int64
		descriptors      uint64
		want             int
	}{
		{100, 0, 0, 1024, 100 + 231},
		{100, 0, 30, 1024, 70 + 231},
		{100, 0, 100, 1024, 231},
		{100, 0, 120, 1024, 231}, // more were let in before
		{100, 0, 100, 1 << 20, mostLogins},
		{20_000, 0, 0, 1 << 20, 20_000 + mostLogins}, // all of them at once
		{1000, 0, 0, 1024, 1000 + fewestLogins},
		{5000, 0, 5000, 1024, fewestLogins}, // fewer descriptors than clients
		{100, 0, 100, 0, fewestLogins},      // nobody knows how many
		{100, 0, 100, ^uint64(0), mostLogins},
		{100, 7, 0, 1024, 7},
		{100, 9000, 100, 1024, 9000},
	} {
		c := config.Default()
		c.MaxClientConn, c.MaxClientLogins = tt.most, tt.configured
		n := settings{Config: c, extraLogins: extraLogins(c, tt.descriptors)}
		if got := n.loginLimit(tt.clients); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// The list of logins keeps their order, whoever of them leaves, and however
// often.
func TestLoginsInOrder(t *testing.T) {
	for _, leaves := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 1, 3, 0, 0, 2}, {2, 0, 3, 1}} {
		var q logins
		all := make([]*login, 4)
		for i := range all {
			all[i] = &login{}
			q.enter(all[i])
		}
		left := slices.Clone(all)
		for _, i := range leaves {
			q.leave(all[i])
			left = slices.DeleteFunc(left, func(l *login) bool { return l == all[i] })
			var forward, backward []*login
			for l := q.first; l != nil; l = l.younger {
				forward = append(forward, l)
			}
			for l := q.last; l != nil; l = l.older {
				backward = append(backward, l)
			}
			slices.Reverse(backward)
			if q.count != len(left) || !slices.Equal(forward, left) || !slices.Equal(backward, left) {
				t.Fatalf("leaves %v, after %d: %d in the list, %d forward, %d backward, want %d", leaves, i, q.count, len(forward), len(backward), len(left))
			}
		}
	}
}
