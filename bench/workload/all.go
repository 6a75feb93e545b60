package workload

import (
	"fmt"
	"strings"
)

// All is every workload that has a name, in the order in which they are told to the reader.
func All() []Workload {
	return []Workload{
		books(), select1(), tpcb(), readHeavy(), large(), copying(), prepared(), transaction(), storm(), idle(),
	}
}

// Find is the workload of that name. Its error names those there are.
func Find(name string) (Workload, error) {
	var names []string
	for _, w := range All() {
		if w.Name == name {
			return w, nil
		}
		names = append(names, w.Name)
	}
	message := fmt.Sprintf("no workload is called %q", name)
	if near := nearest(name, names); near != "" {
		message += ", did you mean " + near + "?"
	}
	return Workload{}, fmt.Errorf("%s (there are %s)", message, strings.Join(names, ", "))
}

// nearest is the name that differs from the given one by no more than a slip of the hand, "" if none does.
func nearest(given string, names []string) string {
	if len(given) > 64 {
		return ""
	}
	given = strings.ToLower(given)
	best, slips := "", 3
	for _, name := range names {
		if d := distance(given, name); d < slips && d < len(name)/2+1 {
			best, slips = name, d
		}
	}
	return best
}

// distance counts the letters to insert, leave out or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
