package remote_test

import (
	"testing"

	"github.com/clothesme/deploy-action/remote"
)

func TestHost(t *testing.T) {
	tests := []struct {
		name     string
		host     remote.Host
		wantAddr string
		want     string
	}{
		{
			"default port",
			remote.Host{User: "ubuntu", Name: "example.com", Port: 22},
			"example.com:22",
			"ubuntu@example.com",
		},
		{"no port is 22", remote.Host{User: "ubuntu", Name: "example.com"}, "example.com:22", "ubuntu@example.com"},
		{
			"other port",
			remote.Host{User: "ubuntu", Name: "10.0.0.1", Port: 2222},
			"10.0.0.1:2222",
			"ubuntu@10.0.0.1:2222",
		},
		{"IPv6", remote.Host{User: "root", Name: "2001:db8::1", Port: 22}, "[2001:db8::1]:22", "root@[2001:db8::1]"},
		{"IPv6, other port", remote.Host{User: "root", Name: "::1", Port: 2222}, "[::1]:2222", "root@[::1]:2222"},
		{"no user", remote.Host{Name: "example.com"}, "example.com:22", "example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.host.Addr(); got != tt.wantAddr {
				t.Errorf("Addr() = %q, want %q", got, tt.wantAddr)
			}
			if got := tt.host.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
		})
	}
}
