package endpoint

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"github.com/clothesme/deploy-action/internal/cloud"
)

const (
	service = "ec2-instance-connect"
	action  = service + ":OpenTunnel"
	// emptyHash is the SHA-256 of no body.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	// A connection lasts an hour at most. Whoever needs it longer makes another one.
	lifetime = time.Hour
	// signedFor is how long after it was signed a request may come.
	signedFor = time.Minute
)

// open has an endpoint connect to a port of a private address.
func (t *Tunnels) open(
	ctx context.Context, cfg aws.Config, way *endpoint, address string, port uint16,
) (net.Conn, error) {
	asked := url.Values{
		"instanceConnectEndpointId": {way.ID}, "privateIpAddress": {address},
		"remotePort":        {strconv.Itoa(int(port))},
		"maxTunnelDuration": {strconv.Itoa(int(lifetime.Seconds()))},
		"X-Amz-Expires":     {strconv.Itoa(int(signedFor.Seconds()))},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "wss://"+way.Name+"/openTunnel?"+asked.Encode(),
		http.NoBody)
	if err != nil {
		return nil, err
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, cloud.Passing(err, err)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, request, emptyHash, service, cfg.Region, time.Now())
	if err != nil {
		return nil, err
	}
	socket, answer, err := websocket.Dial(ctx, signed, &websocket.DialOptions{HTTPClient: t.client})
	if err != nil {
		return nil, refusal(way, address, port, answer, err)
	}
	lasting := context.WithoutCancel(ctx)
	return &tunnel{
		Conn: websocket.NetConn(lasting, socket, websocket.MessageBinary), socket: socket, way: way,
		to: net.JoinHostPort(address, strconv.Itoa(int(port))),
	}, nil
}

// refusal says why an endpoint did not take a connection.
func refusal(way *endpoint, address string, port uint16, answer *http.Response, err error) error {
	if answer == nil {
		var asked *url.Error
		if errors.As(err, &asked) { // its text has the address with the signature
			err = asked.Err
		}
		return &UnreachedError{way.ID, fmt.Errorf("the endpoint %s (%s) does not answer: %w", way.ID, way.Name, err)}
	}
	var said struct{ ErrorCode, Message string }
	if answer.Body != nil {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
		_ = json.Unmarshal(text, &said) // what stands before AWS, such as a proxy, has another language
	}
	why := fmt.Sprintf("status %d", answer.StatusCode)
	for _, more := range []string{said.ErrorCode, said.Message} {
		if more != "" {
			why += ", " + more
		}
	}
	switch status := answer.StatusCode; {
	case strings.Contains(said.ErrorCode, "Expired"):
		return fmt.Errorf("the credentials with which the endpoint %s is asked have expired: give the input "+
			"\"role-to-assume\", which takes new ones (%s)", way.ID, why)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("the role must be allowed %s on the endpoint %s, for port %d and the address %s where its policy "+
			"has conditions on these (%s)", action, way.ID, port, address, why)
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return &UnreachedError{way.ID, fmt.Errorf("the endpoint %s takes no connection at the moment, as when there "+
			"are %d (%s)", way.ID, mostTunnels, why)}
	}
	return fmt.Errorf("the endpoint %s refuses to connect to %s: %s", way.ID, address, why)
}

// tunnel is a connection by an endpoint.
type tunnel struct {
	net.Conn
	socket *websocket.Conn
	way    *endpoint
	to     string
	heard  atomic.Bool // something came from the instance
	closed sync.Once
}

// Read returns what the instance says.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.heard.Store(true)
	}
	return n, t.explain(err)
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	return n, t.explain(err)
}

// explain tells what is the endpoint's word from what the instance says. Whether that answers is known
// only once the endpoint has taken the connection.
func (t *tunnel) explain(err error) error {
	var said websocket.CloseError
	ended := errors.As(err, &said)
	switch {
	case err == nil, t.heard.Load() && !ended:
		return err
	case t.heard.Load():
		return fmt.Errorf("the endpoint %s has ended the connection: %s", t.way.ID, cmp.Or(said.Reason, said.Code.String()))
	}
	return &UnreachedError{t.way.ID, fmt.Errorf("the endpoint %s does not get through to %s (%s): the instance's "+
		"security group must let in the endpoint's on that port, the endpoint's must let it out, and sshd must run on "+
		"the instance", t.way.ID, t.to, cmp.Or(said.Reason, "no answer"))}
}

// Close ends it without a word to the endpoint, and without waiting for one that does not listen any
// more.
func (t *tunnel) Close() error {
	t.closed.Do(func() {
		go func() {
			_ = t.socket.CloseNow()
			<-t.way.turns
		}()
	})
	return nil
}
