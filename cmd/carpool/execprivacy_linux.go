package main

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// hideMemory keeps other processes of the same user, such as the command, from reading this process's memory and environment, where
// the real passwords are. It lasts until the process ends; new programs that it starts aren't affected.
func hideMemory(log *slog.Logger) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("the command can read carpool's environment", "error", err)
	}
}
