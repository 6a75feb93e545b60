package compare

import (
	"os"
	"testing"
)

func TestReadMemoryOfThisProcess(t *testing.T) {
	held, err := readMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if held.resident < 1<<20 || held.highest < held.resident || held.highest > 1<<40 {
		t.Errorf("got %+v", held)
	}
}
