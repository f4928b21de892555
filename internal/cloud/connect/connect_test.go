package connect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// push pushes a key to a server that answers as AWS would; moto stands in for it in e2e.
func push(t *testing.T, answer http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_MAX_ATTEMPTS": "2", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "",
		"AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT": "",
	} {
		t.Setenv(name, value)
	}
	return Push(t.Context(), &cloud.Account{}, "i-1", "ubuntu", "ssh-ed25519 AAAA")
}

func TestAKeyIsLetIn(t *testing.T) {
	if err := push(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ InstanceID, InstanceOSUser, SSHPublicKey string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.InstanceID != "i-1" ||
			asked.InstanceOSUser != "ubuntu" || asked.SSHPublicKey != "ssh-ed25519 AAAA" {
			t.Errorf("asked %+v, %v", asked, err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"RequestId": "1", "Success": true}`)
	}); err != nil {
		t.Error(err)
	}
}

func TestRefusalsNameWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		code, message, want string
		passes              bool
	}{
		{
			"AccessDeniedException",
			"User: x is not authorized to perform: ec2-instance-connect:SendSSHPublicKey on resource: y",
			`the role must be allowed ec2-instance-connect:SendSSHPublicKey on the instance, for the user "ubuntu"`, false,
		},
		{"AuthException", "", "the role must be allowed ec2-instance-connect:SendSSHPublicKey", false},
		{"EC2InstanceNotFoundException", "", "there is no such instance in this region", false},
		{"EC2InstanceStateInvalidException", "", "does not run", true},
		{"EC2InstanceUnavailableException", "", "can't be asked at the moment", true},
		{"ThrottlingException", "", "AWS was asked too often", true},
		{"ExpiredTokenException", "", "the credentials have expired", false},
		{"UnrecognizedClientException", "", "there is no such access key", false},
		{"InvalidArgsException", "a user", "AWS refuses: InvalidArgsException: a user", false},
		{"", "", "must be allowed ec2-instance-connect:SendSSHPublicKey", false},
	} {
		err := push(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusForbidden)
			if tt.code != "" {
				_, _ = fmt.Fprintf(w, `{"__type": %q, "message": %q}`, tt.code, tt.message)
			} else {
				_, _ = io.WriteString(w, "<html>")
			}
		})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "i-1") ||
			passes(err) != tt.passes {
			t.Errorf("%s: %v passes: %t, want %q, %t", tt.code, err, passes(err), tt.want, tt.passes)
		}
	}
}

func TestWhatIsNotAWS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
		passes bool
	}{
		{
			"another server", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
			"what answers there is not AWS (status 418)", false,
		},
		{
			"a server on the way", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
			"what answers there is not AWS (status 502)", true,
		},
		{"none", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "AWS can't be asked: ", true},
	} {
		if err := push(t, tt.answer); err == nil || !strings.Contains(err.Error(), tt.want) ||
			!strings.HasPrefix(err.Error(), "let a key in on i-1 by Instance Connect: ") || passes(err) != tt.passes {
			t.Errorf("%s: %v passes: %t, want %q, %t", tt.name, err, passes(err), tt.want, tt.passes)
		}
	}
}

func passes(err error) bool {
	var passing *cloud.PassingError
	return errors.As(err, &passing)
}
