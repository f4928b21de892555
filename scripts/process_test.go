package scripts

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestWhichPortsAreOpenToOthers(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    string
	}{
		{"127.0.0.1:0", "no"},
		{"127.0.0.53:0", "no"},
		{"[::1]:0", "no"},
		{"0.0.0.0:0", "yes"},
		{"[::]:0", "yes"},
		{"", "no"}, // nothing listens
	} {
		t.Run(tt.address, func(t *testing.T) {
			port := "1"
			if tt.address != "" {
				l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", tt.address)
				if err != nil && strings.HasPrefix(tt.address, "[") {
					t.Skipf("no IPv6 here: %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				_, port, _ = net.SplitHostPort(l.Addr().String())
			}
			if got := bash(t, read(t, "lib/process.sh")+fmt.Sprintf("if open_to_others %s; then echo yes; else echo no; fi", port)); got != tt.want+"\n" {
				t.Errorf("open to others: %q, want %s", got, tt.want)
			}
		})
	}
}
