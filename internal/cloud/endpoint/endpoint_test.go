package endpoint

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/remote/sshtest"
)

// network is what AWS lists, and a stand-in for an endpoint in it, which nobody has held against AWS's
// own: e2e/aws has what it rests on.
type network struct {
	*aws.Endpoint
	endpoints string // as XML, in place of the one
	instances string // as XML
	asked     atomic.Int32
	target    string // where all private addresses really are
}

func instance(id, vpc, subnet string) string {
	return fmt.Sprintf("<item><instancesSet><item><instanceId>%s</instanceId><vpcId>%s</vpcId>"+
		"<subnetId>%s</subnetId></item></instancesSet></item>", id, vpc, subnet)
}

func listed(id, state, vpc, subnet string) string {
	return fmt.Sprintf("<item><instanceConnectEndpointId>%s</instanceConnectEndpointId><state>%s</state>"+
		"<stateMessage>As AWS says.</stateMessage><dnsName>%s.example.com</dnsName><vpcId>%s</vpcId>"+
		"<subnetId>%s</subnetId></item>", id, state, id, vpc, subnet)
}

// newNetwork has an instance i-1, at a target.
func newNetwork(t *testing.T, target string) *network {
	t.Helper()
	n := &network{target: target, instances: instance("i-1", "vpc-1", "subnet-1")}
	n.Endpoint = &aws.Endpoint{
		ID: "eice-0123456789abcdef0", VPC: "vpc-1", To: func(string) string { return n.target },
		Secret: func(key string) string { return "secret of " + key },
	}
	if err := n.Serve(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func (n *network) tunnels(t *testing.T, id string, instances ...string) *Tunnels {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		_ = r.ParseForm()
		switch r.Form.Get("Action") {
		case "DescribeInstances":
			_, _ = io.WriteString(w, "<A><reservationSet>"+n.instances+"</reservationSet></A>")
		case "DescribeInstanceConnectEndpoints":
			all := n.endpoints
			if all == "" {
				all = n.Item()
			}
			_, _ = io.WriteString(w, "<A><instanceConnectEndpointSet>"+all+"</instanceConnectEndpointSet></A>")
		default:
			t.Errorf("asked for %s", r.Form)
		}
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret of AKIDEXAMPLE", "AWS_SESSION_TOKEN": "token+/=of a role", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "", "AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_EC2": "",
	} {
		t.Setenv(name, value)
	}
	tunnels := New(&cloud.Account{Region: "eu-central-1"}, id, func() []string { return instances })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(n.CA())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	tunnels.client = &http.Client{Transport: transport}
	return tunnels
}

// eventually waits for what is to be so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestSSHGoesThroughATunnel(t *testing.T) {
	sshd := sshtest.Start(t, sshtest.Options{})
	n := newNetwork(t, net.JoinHostPort(sshd.Name(), strconv.Itoa(int(sshd.Port()))))
	tunnels := n.tunnels(t, "", "i-1")
	host := remote.Host{User: "ubuntu", Name: "10.0.0.7", Port: 22, Alias: "i-1"}
	keys, err := remote.NewHostKeys("i-1 "+strings.SplitN(sshd.KnownHosts(), " ", 2)[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := remote.Dial(t.Context(), host, remote.Config{
		Signer: sshtest.Signer(t, "ed25519"), HostKeys: keys, KeepaliveInterval: 20 * time.Millisecond, KeepaliveMax: 1000,
		Tunnel: func(ctx context.Context, h remote.Host) (net.Conn, error) {
			return tunnels.Dial(ctx, h.Alias, h.Name, h.Port)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	var back bytes.Buffer
	if err := client.Run(t.Context(), remote.Command{
		Line: "cat", Stdin: bytes.NewReader(sent), Stdout: &back,
	}); err != nil || !bytes.Equal(sent, back.Bytes()) {
		t.Errorf("%d of %d bytes came back, %v", back.Len(), len(sent), err)
	}
	eventually(t, "signs of life pass", func() bool { return sshd.Keepalives() > 2 })
	if err := n.Ping(t.Context()); err != nil {
		t.Errorf("the endpoint's own question for life: %v", err)
	}
	if n.Opened() != 1 || n.asked.Load() != 2 {
		t.Errorf("%d tunnels, %d questions", n.Opened(), n.asked.Load())
	}
	n.End("The tunnel is too old")
	<-client.Done()
	if err := client.Err(); !strings.Contains(err.Error(), "the endpoint eice-0123456789abcdef0 has ended the "+
		"connection: The tunnel is too old") {
		t.Errorf("err = %v", err)
	}

	// Another one is asked for anew, and closed here.
	conn, err := tunnels.Dial(t.Context(), "i-1", "10.0.0.7", 22)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Error(err)
	}
	read := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, conn); read <- err }()
	_, _ = conn.Close(), conn.Close()
	if <-read == nil {
		t.Error("who reads is not told of the end")
	}
	eventually(t, "the endpoint learns of the end", func() bool { return n.Open() == 0 })
	if n.asked.Load() != 2 {
		t.Errorf("%d questions", n.asked.Load())
	}
}

func TestWhyThereIsNoTunnel(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(n *network)
		passes bool
		want   []string
	}{
		{
			name: "not allowed",
			do: func(n *network) {
				n.Refuses = func(string) (int, string, string) { return 403, "AccessDenied", "User: x is not authorized" }
			},
			want: []string{
				"the role must be allowed ec2-instance-connect:OpenTunnel on the endpoint eice-0123456789abcdef0",
				"port 22 and the address 10.0.0.7", "(status 403, AccessDenied, User: x is not authorized)",
			},
		},
		{
			name: "too late",
			do: func(n *network) {
				n.Refuses = func(string) (int, string, string) { return 403, "ExpiredTokenException", "" }
			},
			want: []string{"have expired: give the input \"role-to-assume\", which takes new ones (status 403, ExpiredToken"},
		},
		{
			name: "another secret", do: func(n *network) { n.Secret = func(string) string { return "other" } },
			want: []string{"the role must be allowed", "the signature is another one"},
		},
		{
			name: "not taken",
			do: func(n *network) {
				n.Refuses = func(string) (int, string, string) { return 400, "InvalidParameter", "The specified RemotePort" }
			},
			want: []string{
				"the endpoint eice-0123456789abcdef0 refuses to connect to 10.0.0.7: status 400, InvalidParameter, The",
			},
		},
		{
			name:   "full",
			do:     func(n *network) { n.Refuses = func(string) (int, string, string) { return 429, "", "" } },
			passes: true,
			want:   []string{"takes no connection at the moment, as when there are 20 (status 429)"},
		},
		{
			name: "nobody listens on the instance", passes: true, do: func(*network) {},
			want: []string{
				"does not get through to 10.0.0.7:22 (Unable to connect to target)", "security group must let in the endpoint's",
			},
		},
		{
			name: "the endpoint is gone", passes: true, do: func(n *network) { _ = n.Close() },
			want: []string{"the endpoint eice-0123456789abcdef0 (127.0.0.1:", "does not answer: dial tcp"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetwork(t, "127.0.0.1:1")
			tunnels := n.tunnels(t, "", "i-1")
			tt.do(n)
			conn, err := tunnels.Dial(t.Context(), "i-1", "10.0.0.7", 22)
			if err == nil {
				_, err = conn.Read(make([]byte, 1))
				_ = conn.Close()
			}
			var unreached *UnreachedError
			if err == nil || errors.As(err, &unreached) != tt.passes {
				t.Fatalf("err = %v, that it may pass: %t", err, unreached != nil)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "X-Amz") || strings.Contains(err.Error(), "of+a+role") {
				t.Errorf("what was signed is shown: %v", err)
			}
		})
	}
}

// Credentials that end during a run are asked for when a lost connection is made anew, and AWS may be
// busy then.
func TestCredentialsThatAreNotHadForNow(t *testing.T) {
	for _, tt := range []struct {
		err    error
		passes bool
	}{
		{&cloud.RoleError{Role: "r", Err: &cloud.PassingError{Err: errors.New("busy")}}, true},
		{fmt.Errorf("metadata: %w", context.DeadlineExceeded), true},
		{&cloud.RoleError{Role: "r", Err: errors.New("refused")}, false},
	} {
		cfg := sdk.Config{Credentials: sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{}, tt.err
		})}
		_, err := new(Tunnels).open(t.Context(), cfg, &endpoint{ID: "eice-1", Name: "eice-1.example.com"}, "10.0.0.7", 22)
		var passing *cloud.PassingError
		if err == nil || err.Error() != tt.err.Error() || errors.As(err, &passing) != tt.passes {
			t.Errorf("%v: %v passes: %t", tt.err, err, passing != nil)
		}
	}
}

// A run holds no more connections than an endpoint takes.
func TestTunnelsWaitForOneAnother(t *testing.T) {
	sshd := sshtest.Start(t, sshtest.Options{})
	n := newNetwork(t, net.JoinHostPort(sshd.Name(), strconv.Itoa(int(sshd.Port()))))
	tunnels := n.tunnels(t, "")
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	for range mostTunnels {
		conn, err := tunnels.Dial(t.Context(), "i-1", "10.0.0.7", 22)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var unreached *UnreachedError
	if _, err := tunnels.Dial(ctx, "i-1", "10.0.0.7", 22); !errors.As(err, &unreached) ||
		!strings.Contains(err.Error(), "all 20 connections that the endpoint eice-0123456789abcdef0 takes are in use") {
		t.Errorf("err = %v", err)
	}
	_ = held[0].Close()
	eventually(t, "the endpoint learns of the end", func() bool { return n.Open() == mostTunnels-1 })
	within, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	conn, err := tunnels.Dial(within, "i-1", "10.0.0.7", 22)
	if err != nil {
		t.Fatal(err)
	}
	held[0] = conn
}

func TestWhichEndpointIsTaken(t *testing.T) {
	many := ""
	var ids []string
	for i := range mostHosts + 1 {
		ids = append(ids, fmt.Sprintf("i-%d", i+1))
		many += instance(ids[i], "vpc-1", "subnet-1")
	}
	one := instance("i-1", "vpc-1", "subnet-1")
	for _, tt := range []struct {
		name                 string
		id                   string
		instances, endpoints string
		all                  []string
		want, wrong          string
	}{
		{
			name: "of the subnet", instances: one, want: "eice-3",
			endpoints: listed("eice-1", "create-complete", "vpc-2", "subnet-1") +
				listed("eice-2", "create-complete", "vpc-1", "subnet-2") +
				listed("eice-3", "update-in-progress", "vpc-1", "subnet-1"),
		},
		{
			name: "of another subnet", instances: one, want: "eice-2",
			endpoints: listed("eice-4", "create-complete", "vpc-1", "subnet-3") +
				listed("eice-2", "create-complete", "vpc-1", "subnet-2") +
				listed("eice-3", "delete-in-progress", "vpc-1", "subnet-1"),
		},
		{
			name: "named, in a network that leads there", id: "eice-1", instances: one, want: "eice-1",
			endpoints: listed("eice-1", "create-complete", "vpc-2", "subnet-9"),
		},
		{
			name: "none", instances: one, endpoints: listed("eice-1", "create-complete", "vpc-2", "subnet-1"),
			wrong: "there is no Instance Connect Endpoint in vpc-1, where i-1 is: make one (aws ec2 " +
				"create-instance-connect-endpoint --subnet-id subnet-1), or name another one that leads there in the input " +
				`"connect-endpoint"`,
		},
		{
			name: "none of that name", id: "eice-1", instances: one, endpoints: " ",
			wrong: `there is no endpoint eice-1 in region eu-central-1: correct the input "connect-endpoint"`,
		},
		{
			name: "not ready", instances: one, endpoints: listed("eice-1", "create-failed", "vpc-1", "subnet-1"),
			wrong: "the endpoint eice-1 takes no connections (create-failed: As AWS says): wait until it does",
		},
		{name: "an instance that is gone", endpoints: " ", wrong: "there is no instance i-1 in region eu-central-1 any more"},
		{
			name: "too many", instances: many, all: ids, endpoints: listed("eice-1", "create-complete", "vpc-1", "subnet-1"),
			wrong: "more than 16 hosts are behind the endpoint eice-1",
		},
		{
			name: "as many as it takes", instances: strings.Replace(many, instance("i-17", "vpc-1", "subnet-1"), "", 1),
			all: ids[:mostHosts], endpoints: listed("eice-1", "create-complete", "vpc-1", "subnet-1"), want: "eice-1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetwork(t, "")
			n.instances, n.endpoints = tt.instances, tt.endpoints
			tunnels := n.tunnels(t, tt.id, tt.all...)
			cfg, err := tunnels.account.Config(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			way, err := tunnels.way(t.Context(), cfg, "i-1")
			switch {
			case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
				t.Errorf("err = %v, want %q", err, tt.wrong)
			case tt.wrong == "" && (err != nil || way.ID != tt.want):
				t.Errorf("%+v, %v, want %s", way, err, tt.want)
			}
		})
	}
}
