package deploy

import (
	"context"
	"errors"
	"net"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/endpoint"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/remote"
)

// Tunnel returns what connects to hosts through an Instance Connect Endpoint, nil where they are dialled.
func Tunnel(in *inputs.Inputs, account *cloud.Account) func(context.Context, remote.Host) (net.Conn, error) {
	if in.ConnectEndpoint == "" {
		return nil
	}
	id := in.ConnectEndpoint
	if id == inputs.OwnEndpoint {
		id = ""
	}
	tunnels := endpoint.New(account, id, func() []string {
		var ids []string
		for _, h := range in.Hosts {
			ids = append(ids, h.Alias)
		}
		return ids
	})
	return throughTunnels(tunnels.Dial)
}

func throughTunnels(
	dial func(ctx context.Context, instance, address string, port uint16) (net.Conn, error),
) func(context.Context, remote.Host) (net.Conn, error) {
	return func(ctx context.Context, host remote.Host) (net.Conn, error) {
		conn, err := dial(ctx, host.Alias, host.Name, portOf(host))
		if err != nil {
			return nil, behind(host, err)
		}
		return &tunnelled{conn, host}, nil
	}
}

// tunnelled is a connection that ends before the host if nobody answers there.
type tunnelled struct {
	net.Conn
	host remote.Host
}

func (t *tunnelled) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	return n, behind(t.host, err)
}

func (t *tunnelled) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	return n, behind(t.host, err)
}

// behind tells that a host is not reached as SSH is told it.
func behind(host remote.Host, err error) error {
	var unreached *endpoint.UnreachedError
	if errors.As(err, &unreached) {
		return &remote.DialError{
			Host: host, Kind: remote.Unreachable, Passing: true, Via: unreached.Endpoint, Err: unreached,
		}
	}
	return passing(err)
}
