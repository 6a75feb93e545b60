package main

import (
	"errors"
	"fmt"

	"carpool/config"

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
	near, ok := config.Nearest(name, known)
	if !ok {
		return ""
	}
	return fmt.Sprintf(", did you mean %s%s?", prefix, near)
}
