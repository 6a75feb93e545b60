package config

import (
	"strings"
	"testing"
)

// A platform gives the variables of the build, and those of services, to
// carpool too.
func TestVariablesThatAreNoSettings(t *testing.T) {
	for _, environ := range []string{
		"CARPOOL_BINARY=vendor/carpool CARPOOL_DOWNLOAD_URL=https://example.com/x CARPOOL_DOWNLOAD_SHA256=ab CARPOOL_IMAGE=carpool:1",
		// Kubernetes, for services called carpool, carpool-metrics and carpool-service.
		"CARPOOL_SERVICE_HOST=10.0.0.1 CARPOOL_SERVICE_PORT=5432 CARPOOL_SERVICE_PORT_POSTGRES=5432 CARPOOL_PORT=tcp://10.0.0.1:5432",
		"CARPOOL_PORT_5432_TCP=tcp://10.0.0.1:5432 CARPOOL_PORT_5432_TCP_PROTO=tcp CARPOOL_PORT_5432_TCP_PORT=5432 CARPOOL_PORT_5432_TCP_ADDR=10.0.0.1",
		"CARPOOL_METRICS_SERVICE_HOST=10.0.0.2 CARPOOL_METRICS_SERVICE_PORT=9187 CARPOOL_METRICS_SERVICE_PORT_METRICS=9187 CARPOOL_METRICS_PORT=tcp://10.0.0.2:9187",
		"CARPOOL_METRICS_PORT_9187_TCP=tcp://10.0.0.2:9187 CARPOOL_METRICS_PORT_9187_TCP_PROTO=tcp CARPOOL_METRICS_PORT_9187_TCP_ADDR=10.0.0.2",
		"CARPOOL_SERVICE_SERVICE_HOST=10.0.0.3 CARPOOL_SERVICE_PORT=tcp://10.0.0.3:5432 CARPOOL_SERVICE_PORT_5432_UDP_PROTO=udp",
		"CARPOOL_NAME=/web/carpool CARPOOL_ENV_PATH=/bin",
	} {
		if err := Default().ApplyEnv(strings.Fields(environ)); err != nil {
			t.Errorf("%s: %v", environ, err)
		}
	}
	// Misspelt settings are noticed all the same, and settings are set.
	for _, entry := range []string{
		"CARPOOL_LISTN_PORT=6000", "CARPOOL_PORT=6000", "CARPOOL_METRICS_PORT=9187", "CARPOOL_BINARY_=x", "CARPOOL_HOST=10.0.0.1",
		"CARPOOL_IMPORT=tcp://10.0.0.1:1", "CARPOOL_PORT_X=1", "CARPOOL_LISTEN_PORT=tcp://10.0.0.1:1",
	} {
		if err := Default().ApplyEnv([]string{entry}); err == nil {
			t.Errorf("%s is overlooked", entry)
		}
	}
}

// The sidecar's short name for the size of pools isn't passed over in silence
// where it does nothing.
func TestPoolSizeOfTheSidecarIsWarnedOf(t *testing.T) {
	c := Default()
	if err := c.ApplyEnv([]string{"CARPOOL_POOL_SIZE=5"}); err != nil {
		t.Fatal(err)
	}
	if text := c.Warnings().Error(); !strings.Contains(text, "CARPOOL_POOL_SIZE: ") || !strings.Contains(text, "CARPOOL_DEFAULT_POOL_SIZE") {
		t.Errorf("got %q", text)
	}
	if c.DefaultPoolSize != Default().DefaultPoolSize {
		t.Errorf("the size is %d", c.DefaultPoolSize)
	}
}
