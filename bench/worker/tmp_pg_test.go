package worker

import (
	"fmt"
	"testing"
	"time"

	"carpool/bench/workload"
)

func TestTmpUnsafe(t *testing.T) {
	for _, name := range []string{"books", "transaction", "tpcb", "copy", "prepared"} {
		w, err := workload.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		place := Place{Schema: "s_" + name, Scale: 1}
		if name == "read-heavy" {
			continue
		}
		postgres.Exec(t.Context(), "", "CREATE SCHEMA "+place.Schema)
		for _, sql := range w.Tables(place.workload()) {
			if err := postgres.Exec(t.Context(), "", sql); err != nil {
				t.Fatal(err)
			}
		}
		for _, proto := range []Protocol{Simple, Prepared} {
			for range 3 {
				res, err := runWorkload(t.Context(), Job{Technique: GlobalUnsafe, URL: postgres.URL("", ""), Protocol: proto, Place: place, Clients: 8, Duration: 300 * time.Millisecond}, w, Control{})
				fmt.Println(name, proto, err, "calls", res.Calls, "wrong", res.WrongAnswers, "mixed", res.MixedTransactions, "proto", res.ProtocolErrors, res.Errors, res.FirstError, res.Elapsed)
				if proto == Simple {
					for _, e := range res.Examples {
						fmt.Println("   ", e)
					}
				}
			}
		}
	}
}
