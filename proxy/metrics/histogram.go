package metrics

import (
	"math"
	"time"

	"carpool/proxy"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Histograms are sent in both of Prometheus's forms at once: scrapers that ask
// for its binary format get the native one, with all buckets, and everybody gets
// the classic one, with bounds a factor of two apart where times usually lie.
var (
	waitDesc = prometheus.NewDesc("carpool_pool_wait_seconds",
		"How long clients waited for the servers they got, each time that they got one.", poolLabels, nil)
	queryDesc = prometheus.NewDesc("carpool_pool_query_seconds",
		"How long queries took, from their first byte to the end of the answer.", poolLabels, nil)
	transactionDesc = prometheus.NewDesc("carpool_pool_transaction_seconds",
		"How long transactions took, what the client did meanwhile included.", poolLabels, nil)
	loginDesc = prometheus.NewDesc("carpool_pool_login_seconds",
		"How long logins took that were let in, from accepting the connection to the welcome.", poolLabels, nil)
)

// classicExponents are the bounds of classic buckets, as powers of two of a
// second: from 122 microseconds to 2 seconds, and then more coarsely to 128.
var classicExponents = [...]int{-13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 3, 5, 7}

func collectLatency(out chan<- prometheus.Metric, l *proxy.Latency, labels ...string) {
	sendHistogram(out, waitDesc, &l.Wait, labels)
	sendHistogram(out, queryDesc, &l.Query, labels)
	sendHistogram(out, transactionDesc, &l.Transaction, labels)
	sendHistogram(out, loginDesc, &l.Login, labels)
}

// histogram is one in both forms.
type histogram struct {
	prometheus.Metric // the native form
	classic           []*dto.Bucket
}

// Write implements prometheus.Metric.
func (h histogram) Write(out *dto.Metric) error {
	if err := h.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = h.classic
	return nil
}

func sendHistogram(out chan<- prometheus.Metric, desc *prometheus.Desc, h *proxy.Histogram, labels []string) {
	buckets := make(map[int]int64)
	for i, n := range h.Buckets[1:] {
		if n > 0 {
			buckets[proxy.HistogramLowest+i] = n
		}
	}
	native, err := prometheus.NewConstNativeHistogram(desc, uint64(h.Count()), h.Sum.Seconds(), buckets, nil,
		uint64(h.Buckets[0]), proxy.HistogramSchema, proxy.HistogramBound(0), time.Time{}, labels...)
	if err != nil {
		out <- prometheus.NewInvalidMetric(desc, err)
		return
	}
	out <- histogram{native, classicBuckets(h)}
}

// classicBuckets are the cumulative counts of the classic form.
func classicBuckets(h *proxy.Histogram) []*dto.Bucket {
	list := make([]*dto.Bucket, 0, len(classicExponents))
	var sum uint64
	for i, n := range &h.Buckets {
		sum += uint64(n)
		bound := proxy.HistogramBound(i)
		if len(list) < len(classicExponents) && bound == math.Exp2(float64(classicExponents[len(list)])) {
			list = append(list, &dto.Bucket{UpperBound: &bound, CumulativeCount: new(sum)})
		}
	}
	return list
}

// addHistogram adds b to a.
func addHistogram(a, b *proxy.Histogram) {
	for i, n := range &b.Buckets {
		a.Buckets[i] += n
	}
	a.Sum += b.Sum
}
