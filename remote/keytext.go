package remote

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// pemParts finds one PEM block however its lines were joined.
var pemParts = regexp.MustCompile(`(?s)(-----BEGIN [A-Z0-9 ]+-----)(.*?)(-----END [A-Z0-9 ]+-----)`)

// repairKeyText undoes what shells, forms and secret stores do to a key.
func repairKeyText(text string) string {
	text = strings.TrimPrefix(text, "\uFEFF")
	text = strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", "\r\n", "\n", "\r", "\n").Replace(text)
	text = strings.Trim(text, " \t\n\"'")
	for _, parts := range pemParts.FindAllStringSubmatch(text, -1) {
		if strings.HasSuffix(parts[1], " PARAMETERS-----") {
			continue // of an elliptic curve, which openssl writes before the key; the key names it, too
		}
		text = parts[1] + "\n" + repairBody(parts[2]) + "\n" + parts[3]
		break
	}
	return text + "\n"
}

// repairBody trims each line. Headers (Proc-Type, DEK-Info) keep the empty
// line after them; a body on one line is broken at its blanks.
func repairBody(body string) string {
	body = strings.TrimSpace(body)
	if !strings.Contains(body, "\n") {
		return strings.Join(strings.Fields(body), "\n")
	}
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// describeNonKey says what a text without a PEM block looks like, in words
// that hold none of it.
func describeNonKey(text string) string {
	text = strings.TrimSpace(text)
	oneLine := !strings.Contains(text, "\n")
	switch {
	case text == "":
		return "it is empty"
	case strings.HasPrefix(text, "PuTTY-User-Key-File-"):
		return "it looks like a PuTTY .ppk file; convert it: puttygen key.ppk -O private-openssh -o key"
	case looksPublic(text):
		return "it looks like a public key; give the other file, the one without .pub"
	case strings.Contains(text, "-----BEGIN ") && !strings.Contains(text, "-----END "):
		return "it is cut off: there is no -----END line"
	case !strings.Contains(text, "-----BEGIN ") && strings.Contains(text, "-----END "):
		return "it is cut off: there is no -----BEGIN line"
	case strings.Contains(text, "-----BEGIN "):
		return "the lines between -----BEGIN and -----END are damaged"
	case oneLine && len(text) < 256 && (strings.HasPrefix(text, "/") || strings.HasPrefix(text, "~") ||
		strings.HasPrefix(text, "./") || strings.HasSuffix(text, ".pem")):
		return "it looks like the path of a file; give the file's content"
	case base64OfPEM(text):
		return "it looks base64-encoded once more; give the decoded text, from -----BEGIN to -----END"
	default:
		return "a key starts with a line -----BEGIN … PRIVATE KEY-----"
	}
}

func looksPublic(text string) bool {
	for _, prefix := range []string{"ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "---- BEGIN SSH2 PUBLIC KEY"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func base64OfPEM(text string) bool {
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	return err == nil && strings.Contains(string(decoded), "-----BEGIN ")
}

// describeBlock says why a PEM block of this type is no usable key.
func describeBlock(blockType string) string {
	switch blockType {
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		return "it looks like a public key"
	case "CERTIFICATE":
		return "it looks like a certificate"
	case "OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY":
		return "it starts like one, but its content is damaged"
	default:
		return "its kind is unknown"
	}
}
