package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// explainFlag makes a usageError of what is wrong with a flag, and names the
// one that was probably meant.
func explainFlag(cmd *cobra.Command, err error) error {
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok && len(missing.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		return usageError{fmt.Errorf("%w%s", err, didYouMean("--", missing.GetSpecifiedName(), names))}
	}
	return usageError{err}
}

// didYouMean is the end of a message about a name that isn't known: the known
// name that is most like it, or nothing if none is.
func didYouMean(prefix, name string, known []string) string {
	const longest = 64 // nothing that is known is longer
	best, bestDistance := "", len(name)/2+1
	for _, candidate := range known {
		if d := distance(name, candidate); len(name) <= longest && d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s%s?", prefix, best)
}

// distance counts the letters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0] // what row[j] was in the row above
		row[0] = i + 1
		for j := range len(b) {
			replaced := corner
			if a[i] != b[j] {
				replaced++
			}
			corner = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
