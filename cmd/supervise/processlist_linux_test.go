package supervise

import (
	"slices"
	"testing"
)

func TestBelow(t *testing.T) {
	all := []process{
		{pid: 1, parent: 0},
		{pid: 10, parent: 1},
		{pid: 11, parent: 10, ended: true},
		{pid: 12, parent: 10},
		{pid: 13, parent: 12},
		{pid: 20, parent: 10}, // a stranger, and what it started
		{pid: 21, parent: 20},
		{pid: 30, parent: 31}, // as a list shows that wasn't made in one moment
		{pid: 31, parent: 30},
		{pid: 40, parent: 1, group: 40}, // a group of strangers, of whom one has lost its parent
		{pid: 41, parent: 40, group: 40},
		{pid: 42, parent: 1, group: 40, ended: true},
	}
	for _, row := range []struct {
		root      int
		strangers map[int]bool // by number and by group
		want      []int
		left      bool
	}{
		{10, map[int]bool{20: true}, []int{12, 13}, true},
		{10, map[int]bool{20: true, 12: true}, nil, true}, // 11 may be handing its children over
		{10, map[int]bool{20: true, 11: true, 12: true}, nil, false},
		{30, nil, []int{31}, true},
		{99, nil, nil, false},
		{1, map[int]bool{10: true, 40: true}, nil, false},
	} {
		got, left := below(row.root, all, strangers{processes: row.strangers, groups: row.strangers})
		slices.Sort(got)
		if !slices.Equal(got, row.want) || left != row.left {
			t.Errorf("below %d without %v: %v, %t; want %v, %t", row.root, row.strangers, got, left, row.want, row.left)
		}
	}
}

func TestParseStat(t *testing.T) {
	for _, row := range []struct {
		stat string
		want process
		ok   bool
	}{
		{"7 (sh) S 3 7 7 0 -1", process{pid: 7, parent: 3, group: 7}, true},
		{"7 (a) Z 1 (b) (c) Z 4 1", process{pid: 7, parent: 4, group: 1, ended: true}, true},
		{"7 (sh) S", process{}, false},
		{"7 (sh) S x", process{}, false},
		{"7 (sh) S 3", process{}, false},
		{"7 (sh) S 3 x", process{}, false},
		{"7 sh S 3", process{}, false},
		{"", process{}, false},
	} {
		got, err := parseStat(7, row.stat)
		if (err == nil) != row.ok || got != row.want {
			t.Errorf("%q: %+v, %v; want %+v", row.stat, got, err, row.want)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (sh) S 3 7 7 0 -1")
	f.Add("7 (a) Z 1 (b) (c) Z 4 1")
	f.Add(")")
	f.Fuzz(func(t *testing.T, stat string) {
		p, err := parseStat(7, stat)
		if err == nil && p.pid != 7 {
			t.Errorf("%q: %+v", stat, p)
		}
	})
}
