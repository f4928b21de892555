package parameters

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// open opens a store at a server that answers as AWS would; what a real one does with signatures and
// policies is proved in e2e.
func open(t *testing.T, answer http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "",
		"AWS_PROFILE": "", "AWS_MAX_ATTEMPTS": "2", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "",
		"AWS_ENDPOINT_URL": server.URL, "AWS_ENDPOINT_URL_SSM": "", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "",
	} {
		t.Setenv(name, value)
	}
	store, err := Open(t.Context(), &cloud.Account{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// says answers a request with JSON, and an error of AWS's with its status.
func says(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func TestParametersOfAllPages(t *testing.T) {
	store := open(t, func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Path, NextToken           string
			Recursive, WithDecryption bool
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Path != "/shop/" || !asked.Recursive ||
			!asked.WithDecryption {
			t.Errorf("asked %+v, %v", asked, err)
		}
		if asked.NextToken == "" {
			says(w, 200, `{"Parameters": [{"Name": "/shop/db/URL", "Value": "postgres://"}], "NextToken": "2"}`)
			return
		}
		says(w, 200, `{"Parameters": [{"Name": "/shop/KEY", "Value": " a\nb "}]}`)
	})
	found, err := store.Below(t.Context(), "/shop/")
	want := []Variable{{"KEY", " a\nb ", "ssm:/shop/KEY"}, {"URL", "postgres://", "ssm:/shop/db/URL"}}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestWhatASecretHolds(t *testing.T) {
	for _, tt := range []struct {
		name, answer, wrong string
		want                []Variable
	}{
		{
			name: "an object", answer: `{"Name": "shop/env", "SecretString": "{\"B\": \"x\\ny\", \"A\": 5432, \"C\": true}"}`,
			want: []Variable{
				{"A", "5432", "secretsmanager:id"}, {"B", "x\ny", "secretsmanager:id"}, {"C", "true", "secretsmanager:id"},
			},
		},
		{
			name: "a text", answer: `{"Name": "shop/DATABASE_URL", "SecretString": "postgres://x"}`,
			want: []Variable{{"DATABASE_URL", "postgres://x", "secretsmanager:id"}},
		},
		{name: "bytes", answer: `{"Name": "x", "SecretBinary": "aGk="}`, wrong: "it holds bytes and no text"},
		{
			name: "half an object", answer: `{"Name": "x", "SecretString": "{\"A\": \"hunter2"}`,
			wrong: "begins like a JSON object and is none",
		},
		{name: "an empty object", answer: `{"Name": "x", "SecretString": "{}"}`, wrong: "a JSON object without a member"},
		{
			name: "an object in it", answer: `{"Name": "x", "SecretString": "{\"A\": {\"b\": \"hunter2\"}}"}`,
			wrong: `"A" is neither a text`,
		},
		{name: "null in it", answer: `{"Name": "x", "SecretString": "{\"A\": null}"}`, wrong: `"A" is neither a text`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := open(t, func(w http.ResponseWriter, _ *http.Request) { says(w, 200, tt.answer) })
			found, err := store.Secret(t.Context(), "id")
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("err = %v, want %q", err, tt.wrong)
				}
				return
			}
			if diff := cmp.Diff(tt.want, found); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestParametersThatCannotBeVariables(t *testing.T) {
	for want, answer := range map[string]string{
		"there is no parameter below that path in region eu-central-1": `{"Parameters": []}`,
		"ssm:/shop/a/KEY and ssm:/shop/b/KEY would be one variable": `{"Parameters": [` +
			`{"Name": "/shop/a/KEY", "Value": "hunter2"},
			{"Name": "/shop/b/KEY", "Value": "hunter2"}]}`,
	} {
		store := open(t, func(w http.ResponseWriter, _ *http.Request) { says(w, 200, answer) })
		if _, err := store.Below(t.Context(), "/shop/"); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}

func TestRefusalsNameWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name, code, message string
		below, secret       string // what each says
	}{
		{
			"no permission", "AccessDeniedException",
			"User: arn:aws:sts::1:assumed-role/x is not authorized to perform: ssm:GetParametersByPath on resource: " +
				"arn:aws:ssm:x because no identity-based policy allows it",
			"the role must be allowed ssm:GetParametersByPath on it", "",
		},
		{
			"no permission, without a word", "AccessDeniedException", "", "the role must be allowed ssm:GetParametersByPath",
			"the role must be allowed secretsmanager:GetSecretValue on it",
		},
		{
			"no key", "AccessDeniedException",
			"The ciphertext refers to a customer master key that does not exist, does not exist in this region, " +
				"or you are not allowed to access.",
			"must be allowed kms:Decrypt", "",
		},
		{"no key for a secret", "AccessDeniedException", "Access to KMS is not allowed", "", "must be allowed kms:Decrypt"},
		{
			"no such secret", "ResourceNotFoundException", "Secrets Manager can't find the specified secret.", "",
			"there is no such secret",
		},
		{"throttled for good", "ThrottlingException", "Rate exceeded", "AWS was asked too often", "AWS was asked too often"},
		{
			"expired", "ExpiredTokenException", "The security token included in the request is expired",
			"the credentials have expired", "the credentials have expired",
		},
		{
			"something else", "InternalServerError", "oops", "AWS refuses: InternalServerError: oops",
			"AWS refuses: InternalServerError",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := open(t, func(w http.ResponseWriter, _ *http.Request) {
				says(w, 400, fmt.Sprintf(`{"__type": %q, "message": %q}`, tt.code, tt.message))
			})
			if tt.below != "" {
				if _, err := store.Below(t.Context(), "/shop/"); err == nil || !strings.HasPrefix(err.Error(), "ssm:/shop/: ") ||
					!strings.Contains(err.Error(), tt.below) {
					t.Errorf("err = %v, want %q", err, tt.below)
				}
			}
			if tt.secret != "" {
				if _, err := store.Secret(t.Context(), "id"); err == nil ||
					!strings.HasPrefix(err.Error(), "secretsmanager:id: ") || !strings.Contains(err.Error(), tt.secret) {
					t.Errorf("err = %v, want %q", err, tt.secret)
				}
			}
		})
	}
}

func TestAThrottledCallIsMadeAgain(t *testing.T) {
	var calls atomic.Int32
	store := open(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			says(w, 400, `{"__type": "ThrottlingException", "message": "Rate exceeded"}`)
			return
		}
		says(w, 200, `{"Parameters": [{"Name": "/shop/KEY", "Value": "x"}]}`)
	})
	if found, err := store.Below(t.Context(), "/shop/"); err != nil || len(found) != 1 || calls.Load() != 2 {
		t.Errorf("%v, %v, %d calls", found, err, calls.Load())
	}
}

func TestAWSThatCannotBeReached(t *testing.T) {
	store := open(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := store.Below(t.Context(), "/shop/"); err == nil || !strings.Contains(err.Error(),
		"AWS in region eu-central-1 can't be asked") {
		t.Errorf("err = %v", err)
	}
}

func TestARefusalThatIsNoJSON(t *testing.T) {
	store := open(t, func(w http.ResponseWriter, _ *http.Request) { says(w, 403, "<html>denied</html>") })
	if _, err := store.Secret(t.Context(), "id"); err == nil || !strings.Contains(err.Error(),
		"the credentials are refused (status 403): they must be valid, "+
			"and the role must be allowed secretsmanager:GetSecretValue on it") {
		t.Errorf("err = %v", err)
	}
}
