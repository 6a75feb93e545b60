package worker

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestCmpPgbench(t *testing.T) {
	script := t.TempDir() + "/s.sql"
	os.Chmod(strings.TrimSuffix(script, "/s.sql"), 0o777)
	os.WriteFile(script, []byte("SELECT 1;\n"), 0o644)
	for _, procs := range []int{1, 2} {
		for range 4 {
			for _, proto := range []Protocol{Simple, Prepared} {
				out, err := exec.Command("pgbench", "-n", "-h", postgres.Host(), "-p", strconv.Itoa(postgres.Port()), "-U", "postgres", "-M", string(proto), "-c", "8", "-j", strconv.Itoa(procs), "-T", "2", "-f", script, "postgres").CombinedOutput()
				if err != nil {
					t.Fatal(string(out))
				}
				tps := ""
				for _, l := range strings.Split(string(out), "\n") {
					if strings.HasPrefix(l, "tps") {
						tps = l
					}
				}
				self, _ := os.Executable()
				g := Group{Command: []string{self}, Environ: append(os.Environ(), childVariable+"=serve")}
				res, err := g.Run(t.Context(), Split(Job{Technique: Kept, URL: postgres.URL("", ""), Protocol: proto, Workload: "select1", Clients: 8, Duration: 2 * time.Second}, procs), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Println(procs, proto, tps, int(float64(res.Calls)/res.Elapsed.Seconds()), res.CPU/time.Duration(res.Calls))
			}
		}
	}
}
