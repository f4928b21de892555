package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// mirrors are services that answer with the address that they are asked from. The first is AWS's.
var mirrors = []string{"https://checkip.amazonaws.com", "https://ipv4.icanhazip.com", "https://api.ipify.org"}

// mirrorTime is what each has: where one is down the next is asked.
const mirrorTime = 5 * time.Second

// PublicAddress is the one from which this machine is seen: by the first of several services that
// tells.
func PublicAddress(ctx context.Context) (netip.Addr, error) {
	return askMirrors(ctx, mirrors)
}

func askMirrors(ctx context.Context, mirrors []string) (netip.Addr, error) {
	// Not through a proxy: SSH does not go through it. GitHub's machines and the mirrors have IPv4 alike.
	client := &http.Client{Timeout: mirrorTime, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", addr)
		},
		ForceAttemptHTTP2: true,
	}}
	defer client.CloseIdleConnections()
	var errs []error
	for _, mirror := range mirrors {
		address, err := askMirror(ctx, client, mirror)
		if err == nil {
			return address, nil
		}
		errs = append(errs, err)
	}
	return netip.Addr{}, fmt.Errorf("nobody tells the address of this runner: give it in the input \"runner-cidr\" (%w)",
		errors.Join(errs...))
}

func askMirror(ctx context.Context, client *http.Client, mirror string) (netip.Addr, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, mirror, http.NoBody)
	if err != nil {
		return netip.Addr{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %w", mirror, err)
	}
	address, err := netip.ParseAddr(strings.TrimSpace(string(text)))
	if response.StatusCode != http.StatusOK || err != nil || !address.IsGlobalUnicast() || address.IsPrivate() {
		return netip.Addr{}, fmt.Errorf("%s names no address (status %d)", mirror, response.StatusCode)
	}
	return address, nil
}
