package reactor

import (
	"runtime"
	"testing"
	"time"
)

// A loop's thread is charged for what runs on it, and for nothing else.
func TestProcessorTime(t *testing.T) {
	l, err := NewLoop(0, time.Now(), "epoll")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.ProcessorTime(); ok {
		t.Error("a loop that doesn't run has used time")
	}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends
		ended <- l.Run()
	}()
	used := func() time.Duration {
		looked := make(chan struct{})
		l.Post(TaskFunc(func() { close(looked) }))
		<-looked
		d, ok := l.ProcessorTime()
		if !ok {
			t.Fatal("a loop that runs has no time")
		}
		return d
	}
	before := used()
	l.Post(TaskFunc(func() {
		for at, _ := l.ProcessorTime(); ; {
			if now, _ := l.ProcessorTime(); now-at > 20*time.Millisecond {
				return
			}
		}
	}))
	if d := used() - before; d < 20*time.Millisecond {
		t.Errorf("20 ms of work are %s", d)
	}
	l.Stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, ok := l.ProcessorTime(); ok {
		t.Error("a loop that has ended uses time")
	}
}
