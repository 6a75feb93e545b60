package workload

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// evaluate is the value of an expression in which n is 5 and f is 2.5.
func evaluate(text string) (string, error) {
	e, err := parseExpression(text, func(name string) (int, error) {
		switch name {
		case "n":
			return 0, nil
		case "f":
			return 1, nil
		}
		return 0, errors.New("unknown " + name)
	})
	if err != nil {
		return "", err
	}
	v, err := e.evaluate(&scope{
		random:    source(0, 1),
		variables: []variable{{value: integerValue(5), isSet: true}, {value: realValue(2.5), isSet: true}},
	})
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

func TestExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"1":                          "1",
		"007":                        "7",
		"1.50":                       "1.5",
		".5":                         "0.5",
		"1e3":                        "1000",
		"1e300 * 10":                 "1e+301",
		":n":                         "5",
		":f":                         "2.5",
		"1 + 2 * 3":                  "7",
		"(1 + 2) * 3":                "9",
		"10 - 4 - 3":                 "3",
		"100 / 10 / 5":               "2",
		"7 / 2":                      "3",
		"-7 / 2":                     "-3",
		"7.0 / 2":                    "3.5",
		"7 % 3":                      "1",
		"-7 % 3":                     "-1",
		"mod(-7, 3)":                 "-1",
		"-9223372036854775808 % -1":  "0",
		"- - 3":                      "3",
		"-+-3":                       "3",
		"2 * -3":                     "-6",
		"-:f":                        "-2.5",
		"9223372036854775807":        "9223372036854775807",
		"-9223372036854775808":       "-9223372036854775808",
		"9223372036854775807 + 1.0":  "9.22337203685478e+18",
		"5 & 3":                      "1",
		"5 | 3":                      "7",
		"5 # 3":                      "6",
		"1 << 4":                     "16",
		"-16 >> 2":                   "-4",
		"~0":                         "-1",
		"~1 + 1":                     "-3",
		"1 | 2 + 4":                  "7",
		"1 = 1":                      "true",
		"1 = 1.0":                    "true",
		"1 <> 2":                     "true",
		"1 != 1":                     "false",
		"2 < 10":                     "true",
		"2.5 >= :f":                  "true",
		"3 <= 2":                     "false",
		"3 > 2":                      "true",
		"1 + 1 = 2 and 2 < 3":        "true",
		"true or 1 / 0 = 1":          "true",
		"false and 1 / 0 = 1":        "false",
		"not false and false":        "false",
		"not 1 = 2":                  "true",
		"not not true":               "true",
		"false or false or TRUE":     "true",
		"abs(-3)":                    "3",
		"abs(-2.5)":                  "2.5",
		"greatest(1, 3, 2)":          "3",
		"GREATEST(1, 2.5)":           "2.5",
		"least(3, 1, 2.0)":           "1",
		"max(1, 2)":                  "2",
		"min(2, 1)":                  "1",
		"int(2.5)":                   "2",
		"int(3.5)":                   "4",
		"int(-2.6)":                  "-3",
		"double(3) / 2":              "1.5",
		"sqrt(16)":                   "4",
		"exp(0)":                     "1",
		"ln(exp(1))":                 "1",
		"pow(2, 10)":                 "1024",
		"power(2, 0.5)":              "1.4142135623731",
		"pi()":                       "3.14159265358979",
		"random(4, 4)":               "4",
		"random_gaussian(4, 4, 2.0)": "4",
		"random_exponential(4,4,1)":  "4",
		"random_zipfian(4, 4, 1.5)":  "4",
		"case when 1 = 2 then 1 when :n then 2 else 1/0 end":    "2",
		"CASE WHEN FALSE THEN 1 ELSE 3 END + 1":                 "4",
		"case when true then case when 0 then 1 else 2 end end": "2",
	} {
		got, err := evaluate(text)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestMistakenExpressions(t *testing.T) {
	const outOfRange = "the number is out of the range of 64 bits"
	for text, want := range map[string]string{
		"1 / 0":                           "division by zero",
		"1 % 0":                           "division by zero",
		"mod(1, 0)":                       "division by zero",
		"9223372036854775807 + 1":         outOfRange,
		"-9223372036854775808 - 1":        outOfRange,
		"0 - (-9223372036854775808)":      outOfRange,
		"-(-9223372036854775808)":         outOfRange,
		"abs(-9223372036854775808)":       outOfRange,
		"-9223372036854775808 / -1":       outOfRange,
		"-9223372036854775808 * -1":       outOfRange,
		"4611686018427387904 * 2":         outOfRange,
		"int(1e19)":                       outOfRange,
		"int(9223372036854775807.0)":      outOfRange,
		"int(ln(-1))":                     outOfRange,
		"9223372036854775808":             "9223372036854775808: " + outOfRange,
		"1e999":                           "1e999 is no number that can be held",
		"1 << 64":                         "1 can't be shifted by 64 bits",
		"1 >> -1":                         "1 can't be shifted by -1 bits",
		"true + 1":                        "a number is needed, not a truth",
		"1.5 * true":                      "a number is needed, not a truth",
		"-true":                           "a number is needed, not a truth",
		"true = true":                     "numbers are needed, not a truth",
		"greatest(1, true)":               "numbers are needed, not a truth",
		"not 1":                           "a truth is needed, not an integer",
		"1.0 and true":                    "a truth is needed, not a number with a fraction",
		"case when false then 1 end":      "no WHEN holds and there is no ELSE: the value would be NULL, which isn't supported",
		"random(2, 1)":                    "the range from 2 to 1 is empty",
		"random(-9223372036854775808, 0)": "the range is wider than 63 bits",
		"random_exponential(1, 2, 0)":     "the parameter of random_exponential must be greater than 0, not 0",
		"random_gaussian(1, 2, 1.9)":      "the parameter of random_gaussian must be at least 2, not 1.9",
		"random_zipfian(1, 2, 1)":         "the parameter of random_zipfian must be between 1.001 and 1000, not 1",
		"random_zipfian(1, 2, ln(-1))":    "the parameter of random_zipfian must be between 1.001 and 1000, not NaN",
		"":                                "an expression is missing",
		"1 +":                             "the expression ends too early",
		"1 2":                             `unexpected "2"`,
		"* 1":                             `unexpected "*"`,
		"(1":                              `")" is missing at the end`,
		"(1 2)":                           `unexpected "2" where ")" is needed`,
		"1)":                              `unexpected ")"`,
		"abs":                             `unexpected "abs"`,
		"abs()":                           "function abs has 0 arguments where it takes 1",
		"abs(1, 2)":                       "function abs has 2 arguments where it takes 1",
		"greatest()":                      "function greatest has 0 arguments where it takes 1 to 100",
		"abs(1":                           `"," is missing at the end`,
		"hash(1)":                         "function hash isn't supported",
		"null":                            "NULL isn't supported",
		"1 is null":                       "NULL isn't supported",
		"1 < 2 < 3":                       `comparisons one after another at "<": parentheses are missing`,
		"1 $ 2":                           `unexpected "$"`,
		"'a'":                             `unexpected "'"`,
		":m":                              "unknown m",
		": n":                             `unexpected ":"`,
		"case 1 end":                      `unexpected "1" where "when" is needed`,
		"case when 1 then 2":              `"end" is missing at the end`,
		strings.Repeat("(", 200) + "1":    "an expression more than 100 levels deep",
		strings.Repeat("-", 200) + "1":    "an expression more than 100 levels deep",
		strings.Repeat("1+", 600) + "1":   "an expression of more than 1000 words",
		strings.Repeat("not ", 200) + "1": "an expression more than 100 levels deep",
	} {
		if got, err := evaluate(text); err == nil || err.Error() != want {
			t.Errorf("%.50s: got %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestDistributions(t *testing.T) {
	const draws = 200_000
	for _, row := range []struct {
		name      string
		draw      distribution
		parameter float64
		weight    func(k int) float64 // of the k-th of the numbers, from 1
	}{
		{"uniform", uniform, 0, func(int) float64 { return 1 }},
		{"exponential", exponential, 2.5, func(k int) float64 { return math.Exp(-2.5*float64(k-1)/5) - math.Exp(-2.5*float64(k)/5) }},
		{"gaussian", gaussian, 2.5, func(k int) float64 {
			return math.Erf((2*float64(k)/5-1)*2.5/math.Sqrt2) - math.Erf((2*float64(k-1)/5-1)*2.5/math.Sqrt2)
		}},
		{"zipfian", zipfian, 1.2, func(k int) float64 { return math.Pow(float64(k), -1.2) }},
		{"zipfian", zipfian, 3, func(k int) float64 { return math.Pow(float64(k), -3) }},
	} {
		random, counts := source(0, 1), [5]int{}
		for range draws {
			n, err := row.draw(random, -2, 2, row.parameter)
			if err != nil || n < -2 || n > 2 {
				t.Fatalf("%s: %d, %v", row.name, n, err)
			}
			counts[n+2]++
		}
		total := 0.0
		for k := range counts {
			total += row.weight(k + 1)
		}
		for k, count := range counts {
			share, want := float64(count)/draws, row.weight(k+1)/total
			if math.Abs(share-want) > 0.005 { // more than four standard deviations
				t.Errorf("%s %g: number %d of 5 came with a share of %.4f, not %.4f", row.name, row.parameter, k+1, share, want)
			}
		}
	}
}

func TestDistributionsAtTheEnds(t *testing.T) {
	for _, bounds := range [][2]int64{{math.MinInt64, -2}, {1, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}, {math.MinInt64, math.MinInt64}} {
		for name, draw := range map[string]distribution{"uniform": uniform, "exponential": exponential, "gaussian": gaussian, "zipfian": zipfian} {
			random := source(0, 1)
			for range 1000 {
				if n, err := draw(random, bounds[0], bounds[1], 2); err != nil || n < bounds[0] || n > bounds[1] {
					t.Fatalf("%s from %d to %d: %d, %v", name, bounds[0], bounds[1], n, err)
				}
			}
		}
	}
}
