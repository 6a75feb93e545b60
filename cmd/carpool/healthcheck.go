package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"carpool/config"

	"github.com/spf13/cobra"
)

const (
	healthPort    = "9187"
	healthPath    = "/healthz"
	healthTimeout = 3 * time.Second
	// maxHealthAnswer is how much of the answer is read; the rest doesn't matter.
	maxHealthAnswer = 4 << 10
	// metricsVariable tells a container's carpool and its health check the same address.
	metricsVariable = config.EnvPrefix + "METRICS_LISTEN"
)

func healthcheckCommand(p *program) *cobra.Command {
	var address string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running carpool whether it is well: status 0 if it is, 1 if it isn't.",
		Long: `Ask a running carpool whether it is well, for a container's health check: an image that holds nothing but carpool has no
other program that could ask. The status is 0 if the answer is, and 1 if there is none or it is another than 2xx.

carpool answers /healthz as long as it lives and /readyz while it takes clients and can reach a server, on the address that metrics_listen sets. Where
` + metricsVariable + ` is set to nothing there is nobody to ask, and the status is 0.`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if timeout <= 0 {
				return usageError{errors.New("--timeout must be greater than 0")}
			}
			listen, given := p.lookup(metricsVariable)
			if address == "" && given && listen == "" {
				_, err := fmt.Fprintln(p.stdout, "nothing to ask: "+metricsVariable+" is empty, so carpool serves no metrics")
				return err
			}
			where := cmp.Or(address, healthURL(listen))
			return p.interruptible(func(ctx context.Context) error { return askHealth(ctx, where, timeout) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&address, "url", "", "`URL` to ask (default /healthz on "+metricsVariable+", if that is set, else http://127.0.0.1:"+healthPort+healthPath+")")
	f.DurationVar(&timeout, "timeout", healthTimeout, "how long to wait for the answer")
	return cmd
}

// healthURL is where a carpool with this metrics_listen answers on its own machine.
func healthURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		host, port = "", healthPort
	}
	if ip := net.ParseIP(host); host == "" || host == "*" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + healthPath
}

// askHealth is nil if an answer of 2xx came in time.
func askHealth(ctx context.Context, where string, timeout time.Duration) error {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usageError{errors.New("--url must be an http:// or https:// URL")}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", u.Redacted(), err)
	}
	client := &http.Client{
		// Neither a proxy named in the environment nor a redirect can speak for this carpool.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("asking %s: %w (nobody listens there: carpool doesn't run, or metrics_listen is empty or another address)", u.Redacted(), bareHTTPError(ctx, err))
	case err != nil:
		return fmt.Errorf("asking %s: %w", u.Redacted(), bareHTTPError(ctx, err))
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxHealthAnswer))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("asking %s: the answer is %s", u.Redacted(), response.Status)
	}
	return nil
}

// bareHTTPError is the error without the URL, which net/http puts before it, and with the reason for a timeout.
func bareHTTPError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if urlError, ok := errors.AsType[*url.Error](err); ok {
		return urlError.Err
	}
	return err
}
