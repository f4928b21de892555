package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Visitors come as browsers do: by the name in a URL, with HTTP/2 where the site has it, and on to
// where they are sent. Each asks for a page and sends a form in turn, over and over.
type Visitors struct {
	opt  VisitorOptions
	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	report VisitorReport
}

// VisitorOptions say how they come.
type VisitorOptions struct {
	URL      string         // of the site, such as http://www.example.com
	Address  string         // of the host that its name leads to
	Roots    *x509.CertPool // of the authorities they trust
	Number   int            // how many there are
	Think    time.Duration  // between two requests of one
	Lonesome bool           // they know no HTTP/2, and each request has a connection of its own
}

// VisitorReport is what they have met.
type VisitorReport struct {
	Requests  int
	Failures  []string
	ByProto   map[string]int // such as "https HTTP/2.0", of right answers
	ByRelease map[string]int
	Serials   map[string]int // of the certificates that were shown
}

// Visit sends them.
func Visit(opt VisitorOptions) *Visitors {
	v := &Visitors{opt: opt, stop: make(chan struct{}), report: VisitorReport{
		ByProto: map[string]int{}, ByRelease: map[string]int{}, Serials: map[string]int{},
	}}
	for id := range opt.Number {
		v.done.Go(func() { v.visit(id) })
	}
	return v
}

// Stop ends them, each after the answer that it waits for.
func (v *Visitors) Stop() VisitorReport {
	close(v.stop)
	v.done.Wait()
	return v.report
}

// Requests are those so far that were answered right.
func (v *Visitors) Requests() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.report.Requests
}

func (v *Visitors) visit(id int) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(v.opt.Address, port))
		},
		TLSClientConfig:   &tls.Config{RootCAs: v.opt.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: !v.opt.Lonesome, DisableKeepAlives: v.opt.Lonesome,
	}
	defer transport.CloseIdleConnections()
	// A browser sends a form once more where a kept connection turns out to be closed, as HTTP/1.1 can
	// not announce; this client does not, and so begins with a new one.
	alone := transport.Clone()
	alone.DisableKeepAlives = true
	clients := map[string]*http.Client{
		http.MethodGet:  {Transport: transport, Timeout: 30 * time.Second},
		http.MethodPost: {Transport: transport, Timeout: 30 * time.Second},
	}
	if strings.HasPrefix(v.opt.URL, "http://") {
		clients[http.MethodPost].Transport = alone
	}
	for n := 0; ; n++ {
		err := v.ask(clients, id, n)
		v.mu.Lock()
		v.report.Requests++
		if err != nil && len(v.report.Failures) < maxFailures {
			v.report.Failures = append(v.report.Failures, fmt.Sprintf("visitor %d, request %d: %v", id, n+1, err))
		}
		v.mu.Unlock()
		pause := time.NewTimer(jitter(v.opt.Think))
		select {
		case <-v.stop:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

func (v *Visitors) ask(clients map[string]*http.Client, id, n int) error {
	method, url, sent := http.MethodGet, v.opt.URL+"/version", ""
	if n%2 == 1 {
		method, url, sent = http.MethodPost, v.opt.URL+"/echo",
			fmt.Sprintf(`{"visitor": %d, "nonce": "%x"}`, id, rand.Uint64())
	}
	req, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader([]byte(sent)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := clients[method].Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	release := answer.Header.Get("X-Release")
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: read the answer: %w", method, url, err)
	case answer.StatusCode != http.StatusOK || release == "":
		return fmt.Errorf("%s %s: status %d of release %q: %.120q", method, url, answer.StatusCode, release, body)
	case sent != "" && string(body) != sent:
		return fmt.Errorf("%s %s: sent %q, got back %.120q", method, url, sent, body)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.ByRelease[release]++
	v.report.ByProto[answer.Request.URL.Scheme+" "+answer.Proto]++
	if answer.TLS != nil {
		v.report.Serials[answer.TLS.PeerCertificates[0].SerialNumber.String()]++
	}
	return nil
}
