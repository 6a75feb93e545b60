package workload

import (
	"fmt"
	"strings"

	"carpool/config"
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
	if near, ok := config.Nearest(name, names); ok {
		message += ", did you mean " + near + "?"
	}
	return Workload{}, fmt.Errorf("%s (there are %s)", message, strings.Join(names, ", "))
}
