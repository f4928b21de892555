package remote

import (
	"net"
	"strconv"
)

const defaultPort = 22

// Host is where to log in, and as whom.
type Host struct {
	User string
	Name string // a DNS name or an IP address; IPv6 without brackets
	Port uint16 // 0 means 22

	// Alias is under what its keys are looked up before its name, as ssh's HostKeyAlias: what goes by
	// an address today need not tomorrow. Empty for none.
	Alias string
}

// Addr returns the host and port as package net wants them.
func (h Host) Addr() string {
	return net.JoinHostPort(h.Name, strconv.Itoa(h.port()))
}

// String returns user@name, followed by the port when it is not 22.
func (h Host) String() string {
	prefix := ""
	if h.User != "" {
		prefix = h.User + "@"
	}
	if h.port() != defaultPort {
		return prefix + h.Addr()
	}
	if net.ParseIP(h.Name) != nil && net.ParseIP(h.Name).To4() == nil {
		return prefix + "[" + h.Name + "]"
	}
	return prefix + h.Name
}

func (h Host) port() int {
	if h.Port == 0 {
		return defaultPort
	}
	return int(h.Port)
}
