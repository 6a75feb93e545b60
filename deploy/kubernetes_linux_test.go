package deploy_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// sidecarReady is whether a sidecar listens. That its database answers too must not be what the application's start waits for.
const sidecarReady = "/readyz?servers=ignored"

// manifests are the objects of a file, by kind.
type manifests struct {
	deployments  []apps.Deployment
	services     []core.Service
	secrets      []core.Secret
	configMaps   []core.ConfigMap
	budgets      []policy.PodDisruptionBudget
	autoscalers  []autoscaling.HorizontalPodAutoscaler
	kindsInOrder []string
}

// load reads a file into Kubernetes' own types. A field that they don't have, or a value of another type, is an error.
func load(t *testing.T, name string) *manifests {
	t.Helper()
	m := &manifests{}
	for _, document := range strings.Split(mustRead(t, filepath.Join("kubernetes", name)), "\n---\n") {
		var about struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(document), &about); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kind := about.APIVersion + " " + about.Kind
		m.kindsInOrder = append(m.kindsInOrder, about.Kind)
		switch kind {
		case "apps/v1 Deployment":
			m.deployments = add(t, m.deployments, document)
		case "v1 Service":
			m.services = add(t, m.services, document)
		case "v1 Secret":
			m.secrets = add(t, m.secrets, document)
		case "v1 ConfigMap":
			m.configMaps = add(t, m.configMaps, document)
		case "policy/v1 PodDisruptionBudget":
			m.budgets = add(t, m.budgets, document)
		case "autoscaling/v2 HorizontalPodAutoscaler":
			m.autoscalers = add(t, m.autoscalers, document)
		default:
			t.Errorf("%s: a %s isn't expected", name, kind)
		}
	}
	return m
}

func add[T any](t *testing.T, list []T, document string) []T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict([]byte(document), &object); err != nil {
		t.Errorf("%.60q: %v", document, err)
	}
	return append(list, object)
}

func TestStrictDecodingNotices(t *testing.T) {
	var service core.Service
	for _, wrong := range []string{"kind: Service\nspec: {port: 1}", "kind: Service\nspec: {ports: {}}", "kind: Service\nkind: Service"} {
		if err := yaml.UnmarshalStrict([]byte(wrong), &service); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

// container finds one by name, among those that are started first too.
func container(t *testing.T, d apps.Deployment, name string) core.Container {
	t.Helper()
	pod := d.Spec.Template.Spec
	all := slices.Concat(pod.InitContainers, pod.Containers)
	i := slices.IndexFunc(all, func(c core.Container) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("%s has no container %s", d.Name, name)
	}
	return all[i]
}

// checkPod checks what must be so for any pod of ours: labels that fit, no privileges, limits, probes on ports that exist.
func checkPod(t *testing.T, d apps.Deployment) {
	t.Helper()
	pod := d.Spec.Template.Spec
	for key, want := range d.Spec.Selector.MatchLabels {
		if got := d.Spec.Template.Labels[key]; got != want {
			t.Errorf("%s: its pods have %s=%q, it looks for %q", d.Name, key, got, want)
		}
	}
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 {
		t.Errorf("%s may run as root", d.Name)
	}
	if grace := pod.TerminationGracePeriodSeconds; grace == nil || *grace < 30 {
		t.Errorf("%s: too little time to end", d.Name)
	}
	if links := pod.EnableServiceLinks; links == nil || *links {
		t.Errorf("%s: other services' addresses come into its environment", d.Name)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
			t.Errorf("%s has privileges", c.Name)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s has no memory limit or no CPU request", c.Name)
		}
		for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe == nil {
				continue
			}
			if probe.TimeoutSeconds <= 1 {
				t.Errorf("%s: an answer that takes a second, as /readyz's may, comes too late", c.Name)
			}
			if probe.HTTPGet == nil || !slices.Contains([]string{"/healthz", "/readyz", sidecarReady}, probe.HTTPGet.Path) ||
				!slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal }) {
				t.Errorf("%s: the probe asks at %v", c.Name, probe.HTTPGet)
			}
		}
	}
}

// checkEnding checks that carpool is through before the pod is killed, when it has been told to end after preStop.
func checkEnding(t *testing.T, d apps.Deployment, own time.Duration) {
	t.Helper()
	left := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	for _, c := range d.Spec.Template.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			left -= time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		}
	}
	if own <= 0 || own >= left {
		t.Errorf("%s: carpool may take %s to end, and is killed after %s", d.Name, own, left)
	}
}

// env is the environment of a container, values that come from elsewhere excepted.
func env(c core.Container) []string {
	var environ []string
	for _, variable := range c.Env {
		if variable.ValueFrom == nil {
			environ = append(environ, variable.Name+"="+variable.Value)
		}
	}
	return environ
}

func TestSidecarManifest(t *testing.T) {
	m := load(t, "sidecar.yaml")
	if len(m.deployments) != 1 || len(m.secrets) != 1 {
		t.Fatalf("there are %v", m.kindsInOrder)
	}
	d := m.deployments[0]
	checkPod(t, d)
	sidecar, web := container(t, d, "carpool"), container(t, d, "web")
	if first := d.Spec.Template.Spec.InitContainers; len(first) != 1 || first[0].Name != "carpool" ||
		first[0].RestartPolicy == nil || *first[0].RestartPolicy != core.ContainerRestartPolicyAlways {
		t.Error("carpool isn't a native sidecar: an init container that goes on")
	}
	if sidecar.StartupProbe == nil || sidecar.StartupProbe.HTTPGet.Path != sidecarReady {
		t.Error("the application may start before carpool takes clients")
	}
	for _, c := range []core.Container{sidecar, web} {
		for _, variable := range c.Env {
			if from := variable.ValueFrom; from != nil {
				if _, found := m.secrets[0].StringData[from.SecretKeyRef.Key]; !found || from.SecretKeyRef.Name != m.secrets[0].Name {
					t.Errorf("%s of %s comes from %v", variable.Name, c.Name, from.SecretKeyRef)
				}
			}
		}
	}
	// The sidecar's own settings are good, and the application goes where it listens.
	environ := slices.Concat(imageEnviron(t), env(sidecar), []string{"DATABASE_URL=" + m.secrets[0].StringData["url"]})
	checkEnding(t, d, shutdownTimeout(t, environ))
	status, output := run(t, environ, binary, "check")
	if status != 0 || !strings.Contains(output, "listen_addr = 127.0.0.1\n") || !strings.Contains(output, "listen_port = 6432\n") {
		t.Errorf("carpool check: status %d\n%s", status, output)
	}
	i := slices.IndexFunc(web.Env, func(v core.EnvVar) bool { return v.Name == "DATABASE_URL" })
	if i < 0 || !strings.Contains(web.Env[i].Value, "@127.0.0.1:6432/") {
		t.Error("the application doesn't go through carpool")
	}
	needs := int(*d.Spec.Replicas+d.Spec.Strategy.RollingUpdate.MaxSurge.IntVal) * 3
	if head := mustRead(t, "kubernetes/sidecar.yaml"); !strings.Contains(head, fmt.Sprintf("= %d.", needs)) {
		t.Errorf("the comment should say that %d connections are needed", needs)
	}
}

func TestSharedManifest(t *testing.T) {
	m := load(t, "shared.yaml")
	if len(m.deployments) != 1 || len(m.services) != 1 || len(m.budgets) != 1 || len(m.autoscalers) != 1 || len(m.configMaps) != 1 || len(m.secrets) != 1 {
		t.Fatalf("there are %v", m.kindsInOrder)
	}
	d, service, budget, scaler := m.deployments[0], m.services[0], m.budgets[0], m.autoscalers[0]
	checkPod(t, d)
	c := container(t, d, "carpool")
	labels := d.Spec.Template.Labels
	for what, selector := range map[string]map[string]string{"service": service.Spec.Selector, "disruption budget": budget.Spec.Selector.MatchLabels} {
		for key, want := range selector {
			if labels[key] != want {
				t.Errorf("the %s looks for %s=%s, which the pods don't have", what, key, want)
			}
		}
	}
	for _, port := range service.Spec.Ports {
		if !slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == port.TargetPort.StrVal }) {
			t.Errorf("the service leads to the port %s, which isn't there", port.TargetPort.StrVal)
		}
	}
	if target := scaler.Spec.ScaleTargetRef; target.Kind != "Deployment" || target.Name != d.Name || d.Spec.Replicas != nil {
		t.Errorf("the autoscaler scales %v, and the deployment has its own number", target)
	}
	if c.ReadinessProbe.HTTPGet.Path != "/readyz?servers=ignored" || c.LivenessProbe.HTTPGet.Path != "/healthz" {
		t.Error("a pod that drains would be killed, or be given clients; or all would be taken out while the database restarts")
	}
	// The configuration is good, with the files where the test has them.
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "userlist.txt"), m.secrets[0].StringData["userlist.txt"])
	file := filepath.Join(dir, "carpool.ini")
	mustWrite(t, file, strings.ReplaceAll(m.configMaps[0].Data["carpool.ini"], "/etc/carpool-users", dir))
	environ := append(imageEnviron(t), env(c)...)
	status, output := run(t, environ, binary, "check", file)
	if status != 0 || strings.Contains(output, "change-me") {
		t.Errorf("carpool check: status %d\n%s", status, output)
	}
	for _, want := range []string{"client_tls_sslmode = require", "server_tls_sslmode = verify-full", "server_tls_ca_file = system", "listen_addr = *"} {
		if !strings.Contains(output, "\n"+want+"\n") {
			t.Errorf("the configuration has no %s\n%s", want, output)
		}
	}
	checkEnding(t, d, shutdownTimeout(t, environ, file))
	checkMounts(t, d, c, map[string]string{"/etc/carpool": m.configMaps[0].Name, "/etc/carpool-users": m.secrets[0].Name, "/etc/carpool-tls": "carpool-tls"})
	needs := int(scaler.Spec.MaxReplicas+d.Spec.Strategy.RollingUpdate.MaxSurge.IntVal) * (10 + 2)
	if head := mustRead(t, "kubernetes/shared.yaml"); !strings.Contains(head, fmt.Sprintf("= %d connections", needs)) {
		t.Errorf("the comment should say that %d connections are needed", needs)
	}
}

// checkMounts checks that a container finds the objects with these names in these directories.
func checkMounts(t *testing.T, d apps.Deployment, c core.Container, want map[string]string) {
	t.Helper()
	sources := make(map[string]string)
	for _, volume := range d.Spec.Template.Spec.Volumes {
		if volume.ConfigMap != nil {
			sources[volume.Name] = volume.ConfigMap.Name
		}
		if volume.Secret != nil {
			sources[volume.Name] = cmp.Or(sources[volume.Name], volume.Secret.SecretName)
		}
	}
	if len(c.VolumeMounts) != len(want) {
		t.Errorf("%s has %d mounts", c.Name, len(c.VolumeMounts))
	}
	for _, mount := range c.VolumeMounts {
		if got := sources[mount.Name]; got == "" || got != want[mount.MountPath] {
			t.Errorf("%s has %q in %s", c.Name, got, mount.MountPath)
		}
	}
}
