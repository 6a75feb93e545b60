package workload

import "math/rand/v2"

// source is the randomness of one client. Clients whose seed and number are neighbours draw numbers that have nothing to do
// with each other.
func source(client int, seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(scramble(seed), scramble(uint64(client)+1)))
}

// scramble spreads the bits of a small number over the word: the finishing step of SplitMix64.
func scramble(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// between is a number from low to high, both included.
func between(random *rand.Rand, low, high int) int { return low + random.IntN(high-low+1) }
