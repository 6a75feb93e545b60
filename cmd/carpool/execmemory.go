package main

import (
	"context"
	"time"
)

// smallInterval is the time between two looks for memory that can be done without. It costs less than a millisecond each time.
const smallInterval = 10 * time.Second

// staySmall keeps pages that only start-up and logins have touched from counting until ctx ends.
func staySmall(ctx context.Context) {
	timer := time.NewTimer(time.Second) // start-up is over by then
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			releaseProgram()
			timer.Reset(smallInterval)
		}
	}
}
