package deploy

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/endpoint"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
)

// broken is a connection that says why it is none.
type broken struct {
	net.Conn
	err error
}

func (b broken) Read([]byte) (int, error)  { return 0, b.err }
func (b broken) Write([]byte) (int, error) { return 0, b.err }

// What an endpoint does not get through to is a host that is not reached, and may be later; what AWS
// refuses is an end.
func TestTunnelsTellWhatMayPass(t *testing.T) {
	if Tunnel(&inputs.Inputs{}, nil) != nil {
		t.Error("hosts are reached by an endpoint although none is asked for")
	}
	host := remote.Host{User: "ubuntu", Name: "10.0.0.7", Alias: "i-1"}
	refused := errors.New("refused")
	unreached := &endpoint.UnreachedError{Endpoint: "eice-1", Err: refused}
	busy := &cloud.PassingError{Err: refused}
	for _, tt := range []struct {
		name       string
		dial, then error
	}{
		{"not dialled", unreached, nil},
		{"no answer", nil, unreached},
		{"refused", refused, nil},
		{"broken later", nil, refused},
		{"no credentials for now", busy, nil},
	} {
		conn, err := throughTunnels(func(_ context.Context, instance, address string, port uint16) (net.Conn, error) {
			if instance != "i-1" || address != "10.0.0.7" || port != 22 {
				t.Errorf("dialled %s, %s, port %d", instance, address, port)
			}
			return broken{err: tt.then}, tt.dial
		})(t.Context(), host)
		got := []error{err}
		if err == nil {
			_, read := conn.Read(nil)
			_, written := conn.Write(nil)
			got = []error{read, written}
		}
		for _, err := range got {
			var failed *remote.DialError
			var passing *remote.PassingError
			passes := errors.Is(tt.dial, unreached) || errors.Is(tt.then, unreached)
			if errors.As(err, &failed) != passes || passes && (!failed.Passing || !unreachable(failed) || failed.Host != host) ||
				!errors.Is(err, refused) || errors.As(err, &passing) != errors.Is(tt.dial, busy) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

// An endpoint does not know public addresses.
func TestByWhichAddressATunnelLeads(t *testing.T) {
	of := instances.Instance{ID: "i-1", Public: "192.0.2.7", Private: "10.0.0.7", IPv6: []string{"2001:db8::7"}}
	for _, tt := range []struct {
		by      string
		address inputs.Address
		want    string
	}{
		{"", inputs.AddressAuto, "192.0.2.7"},
		{inputs.OwnEndpoint, inputs.AddressAuto, "10.0.0.7"},
		{inputs.OwnEndpoint, inputs.AddressIPv6, "2001:db8::7"},
	} {
		d := assemble(&run{
			in: &inputs.Inputs{ConnectEndpoint: tt.by, Address: tt.address, Username: "ubuntu", Port: 22},
		})
		if host, err := d.roster.hostOf(of); err != nil || host.Name != tt.want {
			t.Errorf("through %q by %s: %v, %v", tt.by, tt.address, host, err)
		}
	}
}
