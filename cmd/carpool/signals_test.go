package main

import (
	"os"
	"syscall"
	"testing"
	"time"

	"carpool/proxy"
)

func TestEnding(t *testing.T) {
	const term, interrupt, quit = syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT
	type signal struct {
		after time.Duration // the one before
		sig   os.Signal
		want  proxy.ShutdownMode // 0 for none
	}
	for name, signals := range map[string][]signal{
		"once":                    {{0, term, proxy.WaitForClients}},
		"Ctrl-C":                  {{0, interrupt, proxy.WaitForServers}},
		"Ctrl-C twice":            {{0, interrupt, proxy.WaitForServers}, {time.Second / 10, interrupt, proxy.Immediate}},
		"quit":                    {{0, quit, proxy.Immediate}},
		"a platform repeats it":   {{0, term, proxy.WaitForClients}, {0, term, 0}, {4 * time.Second, term, 0}, {4 * time.Second, term, 0}},
		"a person means it":       {{0, term, proxy.WaitForClients}, {0, term, 0}, {repeatTime, term, proxy.Immediate}},
		"a person is in a hurry":  {{0, term, proxy.WaitForClients}, {0, interrupt, proxy.Immediate}},
		"a terminal, then others": {{0, interrupt, proxy.WaitForServers}, {time.Second, term, 0}, {time.Second, quit, proxy.Immediate}},
	} {
		t.Run(name, func(t *testing.T) {
			var end ending
			now := time.Now()
			for i, s := range signals {
				now = now.Add(s.after)
				if mode, ok := end.mode(s.sig, now); mode != s.want || ok != (s.want != 0) {
					t.Errorf("signal %d: %s, %v", i, mode, ok)
				}
			}
		})
	}
}
