package deploy_test

import (
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// ruleFile is what matters of a file of Prometheus's rules.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// Every alert asks for what a carpool that has been used really shows, and the manual has it.
func TestAlerts(t *testing.T) {
	var file ruleFile
	if err := yaml.UnmarshalStrict([]byte(mustRead(t, "prometheus/alerts.yml")), &file); err != nil {
		t.Fatal(err)
	}
	manual := mustRead(t, "../docs/operations.md")
	s := scrapeInUse(t)
	s["up"] = []sample{{}} // Prometheus's own
	alerts := 0
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			alerts++
			for _, wrong := range s.check(rule.Expr) {
				t.Errorf("%s: %s", rule.Alert, wrong)
			}
			if d, err := time.ParseDuration(rule.For); err != nil || d <= 0 {
				t.Errorf("%s lasts %q: %v", rule.Alert, rule.For, err)
			}
			if rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" {
				t.Errorf("%s has no summary or no severity", rule.Alert)
			}
			if !strings.Contains(manual, "`"+rule.Alert+"`") {
				t.Errorf("the manual doesn't have %s", rule.Alert)
			}
		}
	}
	if alerts < 10 {
		t.Errorf("only %d alerts", alerts)
	}
}
