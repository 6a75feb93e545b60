package deploy_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"carpool/deploy/procfile"

	"sigs.k8s.io/yaml"
)

// commands are the lines of a Procfile by name.
func commands(t *testing.T, app string) map[string]string {
	t.Helper()
	lines, err := procfile.Parse(strings.NewReader(mustRead(t, "examples/"+app+"/Procfile")))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, line := range lines {
		all[line.Name] = line.Command
	}
	return all
}

// herokuYML is a heroku.yml, as far as ours goes.
type herokuYML struct {
	Setup struct {
		Addons []addon `json:"addons"`
	} `json:"setup"`
	Build struct {
		Docker map[string]string `json:"docker"`
		Config map[string]string `json:"config"` // what the Dockerfile is given as arguments
	} `json:"build"`
	Release imageCommand               `json:"release"`
	Run     map[string]json.RawMessage `json:"run"` // a command, or an imageCommand
}

type addon struct {
	Plan string `json:"plan"`
	As   string `json:"as"`
}

type imageCommand struct {
	Image   string   `json:"image"`
	Command []string `json:"command"`
}

// With heroku.yml the same processes run as with the Procfile.
func TestHerokuYML(t *testing.T) {
	var y herokuYML
	if err := yaml.UnmarshalStrict([]byte(mustRead(t, "examples/flask-books/heroku.yml")), &y); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"release": strings.Join(y.Release.Command, " ")}
	images := []string{y.Release.Image}
	for name, raw := range y.Run {
		var command string
		if json.Unmarshal(raw, &command) != nil {
			var of imageCommand
			if err := json.Unmarshal(raw, &of); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			command = strings.Join(of.Command, " ")
			images = append(images, of.Image)
		}
		got[name] = command
	}
	if want := commands(t, "flask-books"); !maps.Equal(got, want) {
		t.Errorf("heroku.yml has %v, the Procfile %v", got, want)
	}
	for _, image := range images {
		if y.Build.Docker[image] == "" {
			t.Errorf("nothing builds the image %s", image)
		}
	}
	for name, value := range y.Build.Config {
		if !strings.Contains(mustRead(t, "examples/flask-books/Dockerfile"), "ARG "+name+"=") {
			t.Errorf("the Dockerfile doesn't know %s", name)
		}
		if host, _, _ := strings.Cut(value, "/"); !strings.Contains(host, ".") {
			t.Errorf("%s is %s, which no builder elsewhere can pull", name, value)
		}
	}
	if len(y.Build.Config) == 0 || !slices.Equal(y.Setup.Addons, []addon{{Plan: "heroku-postgresql:essential-0", As: "DATABASE"}}) {
		t.Errorf("the add-ons are %v", y.Setup.Addons)
	}
}

// appJSON is an app.json, as far as ours goes.
type appJSON struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Keywords    []string `json:"keywords"`
	Buildpacks  []struct {
		URL string `json:"url"`
	} `json:"buildpacks"`
	Addons       []addon                 `json:"addons"`
	Env          map[string]appVariable  `json:"env"`
	Formation    map[string]appFormation `json:"formation"`
	Environments map[string]struct {
		Addons    []addon                 `json:"addons"`
		Formation map[string]appFormation `json:"formation"`
		Scripts   map[string]string       `json:"scripts"`
	} `json:"environments"`
}

type appVariable struct {
	Description string `json:"description"`
	Value       string `json:"value"`
}

type appFormation struct {
	Quantity int    `json:"quantity"`
	Size     string `json:"size"`
}

func TestAppJSON(t *testing.T) {
	var a appJSON
	decoder := json.NewDecoder(strings.NewReader(mustRead(t, "examples/flask-books/app.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		t.Fatal(err)
	}
	lines := commands(t, "flask-books")
	check := func(where string, formation map[string]appFormation) {
		for name, of := range formation {
			if _, known := lines[name]; !known || of.Quantity < 1 {
				t.Errorf("%s: %d dynos of the kind %s", where, of.Quantity, name)
			}
		}
	}
	check("app.json", a.Formation)
	for name, environment := range a.Environments {
		check(name, environment.Formation)
		if len(environment.Addons) == 0 {
			t.Errorf("%s has no database", name)
		}
	}
	if len(a.Buildpacks) != 2 || a.Buildpacks[1].URL != "heroku/python" {
		t.Errorf("the buildpacks are %v: the last one is the language's", a.Buildpacks)
	}
	// What a person is asked for is what the buildpack reads.
	script := mustRead(t, "heroku/buildpack/lib/carpool.sh")
	for name := range a.Env {
		if strings.HasPrefix(name, "CARPOOL_") && !strings.Contains(script, " "+name) {
			t.Errorf("the buildpack doesn't know %s", name)
		}
	}
}
