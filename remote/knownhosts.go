package remote

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const (
	markerAuthority = "cert-authority"
	markerRevoked   = "revoked"
)

// A knownLine is one line of a known_hosts file, see sshd(8).
type knownLine struct {
	marker   string
	patterns []string
	key      ssh.PublicKey
}

// parseKnownHosts reads lines in memory, because x/crypto/ssh/knownhosts reads
// files only and the place this runs in may have no folder to write one to.
func parseKnownHosts(text string) ([]knownLine, error) {
	var (
		lines  []knownLine
		faults []error
	)
	for i, text := range strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		line, err := parseKnownLine(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("known_hosts line %d: %w", i+1, err))
			continue
		}
		lines = append(lines, line)
	}
	return lines, errors.Join(faults...)
}

func parseKnownLine(text string) (knownLine, error) {
	marker, patterns, key, _, _, err := ssh.ParseKnownHosts([]byte(text))
	if err != nil {
		if strings.HasPrefix(text, "SHA256:") || strings.HasPrefix(text, "MD5:") {
			return knownLine{}, errors.New("this is a fingerprint, not a known_hosts line: give it as fingerprint")
		}
		return knownLine{}, errors.New(`want "name type key" as ssh-keyscan prints it`)
	}
	if marker != "" && marker != markerAuthority && marker != markerRevoked {
		return knownLine{}, errors.New("unknown marker: there are @cert-authority and @revoked")
	}
	for _, p := range patterns {
		if strings.HasPrefix(p, "|") {
			if _, _, err := splitHashed(p); err != nil {
				return knownLine{}, err
			}
		}
	}
	return knownLine{marker, patterns, key}, nil
}

// match tells whether the line speaks of name, which is "host" or
// "[host]:port" in lower case. A pattern with "!" rules the whole line out.
func (l knownLine) match(name string) bool {
	matched := false
	for _, p := range l.patterns {
		if strings.HasPrefix(p, "|") {
			matched = matched || matchHashed(p, name)
			continue
		}
		negated := strings.HasPrefix(p, "!")
		if matchPattern(strings.ToLower(strings.TrimPrefix(p, "!")), name) {
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched
}

// matchPattern knows * and ?; the brackets of [host]:port are letters here.
// path.Match does the rest, since no name holds a slash.
func matchPattern(pattern, name string) bool {
	if host, port, err := net.SplitHostPort(pattern); err == nil && port == "22" && strings.HasPrefix(pattern, "[") {
		pattern = host
	}
	ok, err := path.Match(strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(pattern), name)
	return ok && err == nil
}

func matchHashed(pattern, name string) bool {
	salt, want, err := splitHashed(pattern)
	if err != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), want)
}

// splitHashed takes |1|salt|hash apart.
func splitHashed(pattern string) (salt, hash []byte, err error) {
	parts := strings.Split(pattern, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return nil, nil, errors.New("unknown kind of hashed name, want |1|salt|hash")
	}
	salt, err = base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, nil, errors.New("the salt of the hashed name is not base64")
	}
	hash, err = base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return nil, nil, errors.New("the hash of the hashed name is not base64")
	}
	return salt, hash, nil
}

// linesFor returns the lines about a host. Those about its alias go before those about its name. When
// none names its port, lines about the bare name count, as for ssh (sshconnect.c, "checking without
// port").
func linesFor(lines []knownLine, host Host) []knownLine {
	if host.Alias != "" {
		if found := matching(lines, strings.ToLower(host.Alias)); len(found) > 0 {
			return found
		}
	}
	_, port, err := net.SplitHostPort(host.Addr())
	if err != nil {
		return nil
	}
	name := strings.ToLower(host.Name)
	found := matching(lines, knownhosts.Normalize(net.JoinHostPort(name, port)))
	if len(found) == 0 {
		found = matching(lines, name)
	}
	return found
}

func matching(lines []knownLine, name string) []knownLine {
	var found []knownLine
	for _, l := range lines {
		if l.marker != markerRevoked && l.match(name) {
			found = append(found, l)
		}
	}
	return found
}
