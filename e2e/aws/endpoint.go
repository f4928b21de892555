package aws

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Endpoint is in the place of an EC2 Instance Connect Endpoint: a WebSocket for each connection, for
// whoever has signed for it. What it wants, and how it refuses, is read from AWS's command and from what
// people have reported of it; nobody has held it against AWS's own.
type Endpoint struct {
	ID, VPC string

	// To says where a private address really is, as host:port; what is there may refuse.
	To func(private string) string
	// Secret is that of an access key.
	Secret func(key string) string
	// Refuses, unless nil, says with which status and words to refuse.
	Refuses func(port string) (status int, code, words string)

	server *http.Server
	name   string
	ca     []byte

	mu     sync.Mutex
	opened int
	open   map[*websocket.Conn]bool
}

// mostOpen is as many connections as AWS's takes.
const mostOpen = 20

// Serve listens on an address until Close.
func (e *Endpoint) Serve(ctx context.Context, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for an endpoint: %w", err)
	}
	e.name, e.open = listener.Addr().String(), map[*websocket.Conn]bool{}
	certificate, err := e.certify()
	if err != nil {
		return err
	}
	e.server = &http.Server{
		Handler: e, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	}
	go func() { _ = e.server.ServeTLS(listener, "", "") }()
	return nil
}

// certify makes it a certificate that CA vouches for.
func (e *Endpoint) certify() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	host, _, _ := net.SplitHostPort(e.name)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	e.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// CA is what vouches for it, as SSL_CERT_FILE has it.
func (e *Endpoint) CA() []byte { return e.ca }

// Opened is how many connections it has taken so far.
func (e *Endpoint) Opened() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opened
}

// Open is how many there are.
func (e *Endpoint) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

// End ends all connections with a reason.
func (e *Endpoint) End(reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for conn := range e.open {
		go func() { _ = conn.Close(websocket.StatusPolicyViolation, reason) }()
	}
}

// Ping asks all connections for a sign of life.
func (e *Endpoint) Ping(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for conn := range e.open {
		if err := conn.Ping(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close ends it.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	for conn := range e.open {
		go func() { _ = conn.CloseNow() }()
	}
	e.mu.Unlock()
	return e.server.Close()
}

// Item is how DescribeInstanceConnectEndpoints lists it.
func (e *Endpoint) Item() string {
	return fmt.Sprintf("<item><instanceConnectEndpointId>%s</instanceConnectEndpointId><state>create-complete</state>"+
		"<dnsName>%s</dnsName><vpcId>%s</vpcId><subnetId>subnet-1</subnetId></item>", e.ID, e.name, e.VPC)
}

func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, code, words := e.refuses(r); status != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"ErrorCode": code, "Message": words})
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	target, err := new(net.Dialer).DialContext(r.Context(), "tcp", e.To(r.URL.Query().Get("privateIpAddress")))
	if err != nil {
		_ = conn.Close(websocket.StatusInternalError, "Unable to connect to target")
		return
	}
	defer func() { _ = target.Close() }()
	e.mu.Lock()
	e.opened++
	e.open[conn] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.open, conn)
		e.mu.Unlock()
	}()
	// The request's context ends with the handler.
	client := websocket.NetConn(context.WithoutCancel(r.Context()), conn, websocket.MessageBinary)
	ended := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(target, client); ended <- struct{}{} }()
	go func() { _, _ = io.Copy(client, target); ended <- struct{}{} }()
	<-ended
	_ = conn.Close(websocket.StatusNormalClosure, "")
}

// refuses says what is wrong with a request, by a status; 0 for nothing.
func (e *Endpoint) refuses(r *http.Request) (status int, code, words string) {
	query := r.URL.Query()
	age, scope, why := e.signed(r)
	names := []string{"instanceConnectEndpointId", "maxTunnelDuration", "privateIpAddress", "remotePort"}
	duration, _ := strconv.Atoi(query.Get("maxTunnelDuration"))
	switch {
	case why != "":
		return http.StatusForbidden, "IncompleteSignature", why
	case age < -time.Minute || age > 60*time.Second || query.Get("X-Amz-Expires") != "60":
		return http.StatusForbidden, "RequestExpired", "signed " + age.String() + " ago"
	case scope != "eu-central-1/ec2-instance-connect":
		return http.StatusForbidden, "SignatureDoesNotMatch", "signed for " + scope
	case r.URL.Path != "/openTunnel" ||
		slices.ContainsFunc(names, func(name string) bool { return query.Get(name) == "" }),
		query.Get("instanceConnectEndpointId") != e.ID, net.ParseIP(query.Get("privateIpAddress")) == nil,
		duration < 1, duration > 3600:
		return http.StatusBadRequest, "InvalidParameter", "The request " + r.URL.Path + " is not valid."
	case query.Get("remotePort") != "22" && query.Get("remotePort") != "3389":
		return http.StatusBadRequest, "InvalidParameter", "The specified RemotePort is not valid. " +
			"Specify either 22 or 3389 as the RemotePort and retry your request."
	case e.Open() >= mostOpen:
		return http.StatusTooManyRequests, "ThrottlingException", "too many connections"
	case e.Refuses != nil:
		return e.Refuses(query.Get("remotePort"))
	}
	return 0, "", ""
}

// signed holds a request against Signature Version 4
// (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html): it says how old
// it is, for what, and what is wrong. It has nothing of the SDK, whose signature it judges.
func (e *Endpoint) signed(r *http.Request) (age time.Duration, scope, why string) {
	query := r.URL.Query()
	date := query.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	parts := strings.Split(query.Get("X-Amz-Credential"), "/")
	if err != nil || len(parts) != 5 || parts[1] != date[:8] || parts[4] != "aws4_request" ||
		query.Get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256" || query.Get("X-Amz-SignedHeaders") != "host" {
		return 0, "", "not signed as a URL is"
	}
	given := query.Get("X-Amz-Signature")
	query.Del("X-Amz-Signature")
	canonical := strings.Join([]string{
		r.Method, (&url.URL{Path: r.URL.Path}).EscapedPath(), strings.ReplaceAll(query.Encode(), "+", "%20"),
		"host:" + r.Host, "", "host", hash(""),
	}, "\n")
	key := []byte("AWS4" + e.Secret(parts[0]))
	for _, part := range parts[1:] {
		key = sum(key, part)
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256", date, strings.Join(parts[1:], "/"), hash(canonical)}, "\n")
	if want := hex.EncodeToString(sum(key, text)); !hmac.Equal([]byte(want), []byte(given)) {
		return 0, "", "the signature is another one"
	}
	return time.Since(at), parts[2] + "/" + parts[3], ""
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, text)
	return mac.Sum(nil)
}

// Has lists an endpoint in its network, and holds who goes through it to the policy of the step.
func (b *Bridge) Has(e *Endpoint) {
	e.Refuses = func(port string) (int, string, string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.calls["OpenTunnel"]++
		resource := fmt.Sprintf("arn:aws:ec2:eu-central-1:%s:instance-connect-endpoint/%s", b.account, e.ID)
		const action = "ec2-instance-connect:OpenTunnel"
		if b.policy == nil || b.policy.allows(action, resource, map[string]string{"ec2-instance-connect:remotePort": port}) {
			return 0, "", ""
		}
		return http.StatusForbidden, "AccessDenied",
			"User: deploy is not authorized to perform: " + action + " on resource: " + resource
	}
	b.Answer("DescribeInstanceConnectEndpoints", func(c *Call) {
		of := map[string]string{"vpc-id": e.VPC, "instance-connect-endpoint-id": e.ID}[c.Form.Get("Filter.1.Name")]
		listed := ""
		for name, values := range c.Form {
			if strings.HasPrefix(name, "Filter.1.Value.") && values[0] == of {
				listed = e.Item()
			}
		}
		c.Answer = []byte("<A><instanceConnectEndpointSet>" + listed + "</instanceConnectEndpointSet></A>")
	})
}
