package metrics

import (
	"fmt"
	"math"
	"testing"
	"time"

	"carpool/proxy"

	dto "github.com/prometheus/client_model/go"
)

// family returns the one with a name.
func family(t *testing.T, families []*dto.MetricFamily, name string) *dto.MetricFamily {
	t.Helper()
	for _, f := range families {
		if f.GetName() == name {
			return f
		}
	}
	t.Fatal("no family ", name)
	return nil
}

// Both forms of a histogram say the same, and what was measured.
func TestHistogramForms(t *testing.T) {
	views := readPools([]proxy.PoolView{busy()})
	wait := &views[0].latency.Wait
	for i := range wait.Buckets {
		wait.Buckets[i] = int64(i) // one of each is in no bucket twice
	}
	wait.Buckets[0], wait.Sum = 7, 90*time.Second
	h := family(t, gatherAll(t, reading{pools: views}), "carpool_pool_wait_seconds").GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != uint64(wait.Count()) || h.GetSampleSum() != 90 || h.GetZeroCount() != 7 || h.GetSchema() != proxy.HistogramSchema {
		t.Errorf("%+v", h)
	}
	native := make(map[int]int64)
	at, count, delta := 0, int64(0), h.GetPositiveDelta()
	for _, span := range h.GetPositiveSpan() {
		at += int(span.GetOffset())
		for range span.GetLength() {
			count += delta[0]
			native[at], delta = count, delta[1:]
			at++
		}
	}
	// Bucket i of the schema ends with 2^(i/4).
	upTo := func(bound float64) (n uint64) {
		n = h.GetZeroCount()
		for i, count := range native {
			if math.Exp2(float64(i)/4) <= bound {
				n += uint64(count)
			}
		}
		return n
	}
	if len(h.GetBucket()) != len(classicExponents) {
		t.Errorf("%d classic buckets, not %d", len(h.GetBucket()), len(classicExponents))
	}
	for _, b := range h.GetBucket() {
		if want := upTo(b.GetUpperBound()); b.GetCumulativeCount() != want {
			t.Errorf("up to %v: classic %d, native %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	if upTo(math.Inf(1)) != h.GetSampleCount() {
		t.Error("the buckets don't add up")
	}
}

// Anybody may make up names; the lines that are scraped don't grow with them.
func TestManyPoolsAreOneSeries(t *testing.T) {
	var views []proxy.PoolView
	const many = 3 * maxSeries
	for i := range many {
		v := busy()
		v.Database = fmt.Sprint("db", i)
		if i == many-1 {
			v.Pool.LongestWait = time.Hour
		}
		views = append(views, v)
	}
	families := gather(t, proxy.State{}, views...)
	if n := len(family(t, families, "carpool_pool_size").GetMetric()); n != maxSeries+1 {
		t.Errorf("%d pools are told apart", n)
	}
	const rest = many - maxSeries
	of := "database=" + othersName + ",user=" + othersName
	one := busy()
	for name, want := range map[string]float64{
		"carpool_pool_size":                 rest * float64(one.Pool.Size),
		"carpool_pool_queries_total":        rest * float64(one.Traffic.Queries),
		"carpool_pool_waits_total":          rest * float64(one.Pool.Queued),
		"carpool_pool_longest_wait_seconds": 3600,
		"carpool_pool_paused":               1,
	} {
		if got := value(t, families, name, of); got != want {
			t.Errorf("%s of the others is %v, not %v", name, got, want)
		}
	}
	if got := value(t, families, "carpool_pool_servers", "database="+othersName+",state=idle,user="+othersName); got != rest*3 {
		t.Error(got)
	}
}

// A pool without a limit makes one of all of them.
func TestNoLimitAmongTheOthers(t *testing.T) {
	for _, row := range []struct{ a, b, c, want int }{{2, 3, 4, 9}, {0, 3, 4, 0}, {2, 0, 4, 0}, {2, 3, 0, 0}} {
		sum := poolReading{latency: &proxy.Latency{}}
		sum.Pool.Size = row.a
		for _, size := range []int{row.b, row.c} {
			o := poolReading{latency: &proxy.Latency{}}
			o.Pool.Size = size
			sum.add(&o)
		}
		if sum.Pool.Size != row.want {
			t.Errorf("%+v: %d", row, sum.Pool.Size)
		}
	}
}
