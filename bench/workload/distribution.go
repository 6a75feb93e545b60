package workload

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// What a script may give random_gaussian and random_zipfian as their parameter: pgbench's limits.
const (
	leastGaussian   = 2.0
	leastZipfian    = 1.001
	greatestZipfian = 1000.0
)

// distribution draws an integer from low to high, both included.
type distribution func(random *rand.Rand, low, high int64, parameter float64) (int64, error)

// span is how many integers there are from low to high.
func span(low, high int64) (int64, error) {
	if low > high {
		return 0, fmt.Errorf("the range from %d to %d is empty", low, high)
	}
	width, err := subtract(high, low)
	if err == nil {
		width, err = add(width, 1)
	}
	if err != nil {
		return 0, errors.New("the range is wider than 63 bits")
	}
	return width, nil
}

func uniform(random *rand.Rand, low, high int64, _ float64) (int64, error) {
	width, err := span(low, high)
	if err != nil {
		return 0, err
	}
	return low + random.Int64N(width), nil
}

// exponential prefers low numbers: how often one comes falls exponentially over the range, to exp(-parameter) at its end.
func exponential(random *rand.Rand, low, high int64, parameter float64) (int64, error) {
	width, err := span(low, high)
	if err != nil {
		return 0, err
	}
	if !(parameter > 0) {
		return 0, fmt.Errorf("the parameter of random_exponential must be greater than 0, not %g", parameter)
	}
	cut := math.Exp(-parameter)
	chance := 1 - random.Float64() // above 0, so that it has a logarithm
	return place(low, width, -math.Log(cut+(1-cut)*chance)/parameter), nil
}

// gaussian prefers the middle of the range: a bell whose ends, parameter standard deviations away, are cut off.
func gaussian(random *rand.Rand, low, high int64, parameter float64) (int64, error) {
	width, err := span(low, high)
	if err != nil {
		return 0, err
	}
	if !(parameter >= leastGaussian) {
		return 0, fmt.Errorf("the parameter of random_gaussian must be at least %g, not %g", leastGaussian, parameter)
	}
	deviation := random.NormFloat64()
	for deviation < -parameter || deviation >= parameter { // once in 20 draws at the most
		deviation = random.NormFloat64()
	}
	return place(low, width, (deviation+parameter)/(2*parameter)), nil
}

// place is the number that lies at a part, from 0 to 1, of the range.
func place(low, width int64, part float64) int64 {
	offset := part * float64(width)
	if !(offset > 0) {
		return low
	}
	if offset >= float64(width) {
		return low + width - 1
	}
	return low + min(int64(offset), width-1)
}

// zipfian prefers low numbers: the k-th comes with a probability proportional to k to the power of -parameter. The method is
// Devroye's rejection ("Non-Uniform Random Variate Generation", page 550), which needs no tables.
func zipfian(random *rand.Rand, low, high int64, parameter float64) (int64, error) {
	width, err := span(low, high)
	if err != nil {
		return 0, err
	}
	if !(parameter >= leastZipfian && parameter <= greatestZipfian) {
		return 0, fmt.Errorf("the parameter of random_zipfian must be between %g and %g, not %g", leastZipfian, greatestZipfian, parameter)
	}
	power := parameter - 1
	b := math.Pow(2, power)
	for width > 1 {
		u, v := random.Float64(), random.Float64()
		x := math.Floor(math.Pow(u, -1/power))
		t := math.Pow(1+1/x, power)
		// x is infinite when u is 0, and then t is 1.
		if x <= float64(width) && v*x*(t-1)/(b-1) <= t/b {
			return low + min(int64(x), width) - 1, nil
		}
	}
	return low, nil
}
