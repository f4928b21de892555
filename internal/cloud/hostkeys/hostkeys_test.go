package hostkeys

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// answers has AWS answer so; moto stands in for it in e2e.
func answers(t *testing.T, answer http.HandlerFunc) *cloud.Account {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "",
		"AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_EC2": "", "AWS_ENDPOINT_URL_SSM": "",
	} {
		t.Setenv(name, value)
	}
	return &cloud.Account{}
}

// printed is what cloud-init 22.4.2 writes, with a log around it.
const printed = "[    1.0] Linux\r\n<14>Nov 23 10:00:01 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n" +
	"<14>Nov 23 10:00:01 cloud-init: 256 SHA256:abc root@ip (ED25519)\r\n" +
	"<14>Nov 23 10:00:01 cloud-init: -----END SSH HOST KEY FINGERPRINTS-----\r\n-----BEGIN SSH HOST KEY KEYS-----\r\n" +
	"ecdsa-sha2-nistp256 AAAAE2 root@ip\r\nssh-ed25519 AAAAC3 root@ip\r\n-----END SSH HOST KEY KEYS-----\r\nlogin: "

func TestKeysOfTheConsole(t *testing.T) {
	const old = "-----BEGIN SSH HOST KEY KEYS-----\nssh-rsa OLD root@image\n-----END SSH HOST KEY KEYS-----\n"
	want := []string{"ecdsa-sha2-nistp256 AAAAE2 root@ip", "ssh-ed25519 AAAAC3 root@ip"}
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"printed":         {printed, want},
		"the last ones":   {old + printed, want},
		"cut off":         {"-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAAC3", nil},
		"the end of some": {"ssh-ed25519 AAAAC3\n-----END SSH HOST KEY KEYS-----\n", nil},
		"others":          {"[    1.0] Linux\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			account := answers(t, func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("Action") != "GetConsoleOutput" || r.FormValue("InstanceId") != "i-1" {
					t.Errorf("asked %v", r.Form)
				}
				_, _ = fmt.Fprintf(w, "<R><instanceId>i-1</instanceId><output>%s</output></R>",
					base64.StdEncoding.EncodeToString([]byte(tt.text)))
			})
			got, err := Console(t.Context(), account, "i-1")
			if !slices.Equal(got, tt.want) || (tt.want == nil) != (err != nil) {
				t.Errorf("%q, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), "the console output of i-1 has no host keys") {
				t.Error(err)
			}
		})
	}
	account := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<R><output>?</output></R>")
	})
	if _, err := Console(t.Context(), account, "i-1"); err == nil || !strings.Contains(err.Error(), "can't be read") {
		t.Error(err)
	}
}

func TestKeysOfAParameter(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int
		want         string // the keys, or the error
	}{
		{
			"two keys", `{"Parameter": {"Value": "ssh-rsa AAAAB3\n\nssh-ed25519 AAAAC3 root@ip\n"}}`, 200,
			"ssh-rsa AAAAB3|ssh-ed25519 AAAAC3 root@ip",
		},
		{"nothing", `{"Parameter": {"Value": " "}}`, 200, "parameter /host-keys/i-1 is empty"},
		{"none", `{"__type": "ParameterNotFound"}`, 400, "there is no parameter /host-keys/i-1"},
		{
			"denied", `{"__type": "AccessDeniedException", "message": "no"}`, 400,
			"parameter /host-keys/i-1: the role must be allowed ssm:GetParameter: put ",
		},
		{
			"denied the key that it is encrypted with",
			`{"__type": "AccessDeniedException", "message": "User: x is not authorized to perform: kms:Decrypt"}`, 400,
			"the role must be allowed kms:Decrypt: put ",
		},
		{
			"denied the key, in other words",
			`{"__type": "AccessDeniedException", "message": "The ciphertext refers to a customer master key that does not ` +
				`exist, does not exist in this region, or you are not allowed to access."}`, 400,
			"the role must be allowed kms:Decrypt: put ",
		},
		{"too often", `{"__type": "ThrottlingException", "message": "Rate exceeded"}`, 400, "AWS was asked too often"},
		{"expired", `{"__type": "ExpiredTokenException"}`, 400, "the credentials have expired"},
		{"no AWS", `<html>`, 502, "what answers there is not AWS (status 502)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			account := answers(t, func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"Name":"/host-keys/i-1"`) {
					t.Errorf("asked %s", body)
				}
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.answer)
			})
			got, err := Parameter(t.Context(), account, "/host-keys/i-1")
			if err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && strings.Join(got, "|") != tt.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
