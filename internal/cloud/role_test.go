package cloud

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const arn = "arn:aws:iam::123456789012:role/deploy"

// world is GitHub's token endpoint and AWS's STS, as far as this package asks them.
type world struct {
	*Account

	mu      sync.Mutex
	tokens  int // that were given
	calls   int // of STS
	masked  []string
	sub     string                                            // of the tokens
	lasts   time.Duration                                     // credentials
	noToken func(try int) int                                 // a status in place of a token, 0 for one
	refuses func(call int) (status int, code, message string) // in place of credentials, nil for none
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{sub: "repo:octo/shop:ref:refs/heads/main", lasts: time.Hour, noToken: func(int) int { return 0 }}
	asked := 0
	github := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer of the job" || r.URL.Query().Get("audience") != "sts.amazonaws.com" ||
			r.URL.Query().Get("api-version") != "2.0" {
			t.Errorf("asked %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		asked++
		if status := w.noToken(asked); status != 0 {
			rw.WriteHeader(status)
			return
		}
		w.tokens++
		_, _ = fmt.Fprintf(rw, `{"count": 1, "value": %q}`, w.token(w.tokens))
	}))
	t.Cleanup(github.Close)
	aws := httptest.NewServer(http.HandlerFunc(w.sts(t)))
	t.Cleanup(aws.Close)
	for name, value := range map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDOFTHEENV",
		"AWS_SECRET_ACCESS_KEY": "secret of the environment", "AWS_SESSION_TOKEN": "", "AWS_REGION": "eu-central-1",
		"AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_MAX_ATTEMPTS": "3", "AWS_CONFIG_FILE": "",
		"AWS_SHARED_CREDENTIALS_FILE": "", "AWS_ENDPOINT_URL": aws.URL, "AWS_ENDPOINT_URL_STS": "",
	} {
		t.Setenv(name, value)
	}
	w.Account = &Account{
		Role: arn, Session: "deploy-action-4711", Token: Token{github.URL + "/?api-version=2.0", "of the job"},
		Mask: func(secrets ...string) { w.masked = append(w.masked, secrets...) },
	}
	return w
}

// token is a JWT but for its signature, which only AWS looks at.
func (w *world) token(n int) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg": "RS256"}`) + "." + part(fmt.Sprintf(`{"sub": %q, "jti": "%d"}`, w.sub, n)) + ".c2lnbmF0dXJl"
}

func (w *world) sts(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls++
		if r.Header.Get("Authorization") != "" || r.FormValue("Action") != "AssumeRoleWithWebIdentity" ||
			r.FormValue("RoleArn") != arn || r.FormValue("RoleSessionName") != "deploy-action-4711" ||
			r.FormValue("WebIdentityToken") != w.token(w.tokens) {
			t.Errorf("asked %v", r.Form)
		}
		rw.Header().Set("Content-Type", "text/xml")
		if w.refuses != nil {
			if status, code, message := w.refuses(w.calls); status != 0 {
				rw.WriteHeader(status)
				_, _ = fmt.Fprintf(rw, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">`+
					`<Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`,
					code, message)
				return
			}
		}
		_, _ = io.WriteString(rw, fmt.Sprintf(`<AssumeRoleWithWebIdentityResponse `+
			`xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA%d</AccessKeyId>`+
			`<SecretAccessKey>secret %d</SecretAccessKey>
<SessionToken>session %d</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`, w.calls, w.calls, w.calls, time.Now().Add(w.lasts).UTC().Format(time.RFC3339)))
	}
}

func TestARoleIsTakenByTheTokenOfTheJob(t *testing.T) {
	w := newWorld(t)
	for range 2 { // once a run
		cfg, err := w.Config(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		creds, err := cfg.Credentials.Retrieve(t.Context())
		if err != nil || creds.AccessKeyID != "ASIA1" || creds.SecretAccessKey != "secret 1" ||
			creds.SessionToken != "session 1" {
			t.Errorf("credentials %+v, %v", creds, err)
		}
		if left := time.Until(creds.Expires); left > 55*time.Minute || left < 54*time.Minute {
			t.Errorf("credentials are used for %s of an hour", left)
		}
	}
	for _, secret := range []string{w.token(1), "secret 1", "session 1"} {
		if !slices.Contains(w.masked, secret) {
			t.Errorf("%q is not masked: %q", secret, w.masked)
		}
	}
}

func TestARoleThatEndsIsTakenAnewByANewToken(t *testing.T) {
	w := newWorld(t)
	w.lasts = time.Minute // which is within the time that is kept in hand
	cfg, err := w.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || creds.AccessKeyID == "ASIA1" || w.tokens != w.calls || w.tokens < 2 {
		t.Errorf("credentials %+v, %v after %d tokens, %d calls", creds, err, w.tokens, w.calls)
	}
	if !slices.Contains(w.masked, creds.SessionToken) {
		t.Error("the new session token is not masked")
	}
}

func TestWhatFailsByTheWayIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	w.noToken = func(try int) int { return map[int]int{1: 503}[try] }
	w.refuses = func(call int) (int, string, string) {
		if call == 1 {
			return 400, "IDPCommunicationError", "Identity provider could not be reached."
		}
		return 0, "", ""
	}
	if _, err := w.Config(t.Context()); err != nil || w.calls != 2 {
		t.Errorf("after %d calls: %v", w.calls, err)
	}
}

func TestARoleThatIsNotGivenNamesTheCause(t *testing.T) {
	for _, tt := range []struct {
		name, sub, code, message string
		want                     []string
		not                      string
	}{
		{
			"the policy of another workflow", "repo:octo/shop:ref:refs/heads/main", "AccessDenied",
			"Not authorized to perform sts:AssumeRoleWithWebIdentity",
			[]string{arn, `whose subject is "repo:octo/shop:ref:refs/heads/main"`, "trust policy", "docs/aws-credentials.md"},
			"15 July 2026",
		},
		{
			"a policy from before ids", "repo:octo@583231/shop@1296269:environment:production", "AccessDenied",
			"Not authorized to perform sts:AssumeRoleWithWebIdentity",
			[]string{`"repo:octo@583231/shop@1296269:environment:production"`, "made since 15 July 2026 have ids in it"},
			"",
		},
		{
			"no provider", "repo:octo/shop:ref:refs/heads/main", "InvalidIdentityToken",
			"No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com",
			[]string{"identity provider https://token.actions.githubusercontent.com", "audience sts.amazonaws.com"},
			"subject",
		},
		{
			"something else", "repo:octo/shop:ref:refs/heads/main", "ValidationError", "Request ARN is invalid",
			[]string{"AWS refuses: ValidationError: Request ARN is invalid"},
			"trust policy",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.sub = tt.sub
			w.refuses = func(int) (int, string, string) { return 403, tt.code, tt.message }
			_, err := w.Config(t.Context())
			if err == nil {
				t.Fatal("the role was had")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: lacks %q", err, want)
				}
			}
			if tt.not != "" && strings.Contains(err.Error(), tt.not) {
				t.Errorf("%v: has %q", err, tt.not)
			}
			if !strings.HasPrefix(err.Error(), "role "+arn+": ") || strings.Contains(err.Error(), w.token(1)) {
				t.Error(err)
			}
		})
	}
}

func TestATokenThatIsNotGiven(t *testing.T) {
	w := newWorld(t)
	w.noToken = func(int) int { return 403 }
	if _, err := w.Config(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "GitHub gives the job no token (status 403)") || w.calls != 0 {
		t.Errorf("%d calls, %v", w.calls, err)
	}
	w.Token.URL = "http://127.0.0.1:1/"
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := w.Config(ctx); err == nil || !strings.HasPrefix(err.Error(), "role "+arn+": ") {
		t.Error(err)
	}
}

// A role that is taken anew in the middle of a run may be had a little later, if it is not refused.
func TestARoleThatIsNotHadForNow(t *testing.T) {
	for _, tt := range []struct {
		name    string
		noToken int
		status  int
		code    string
		passes  bool
	}{
		{"no right to a token", 403, 0, "", false},
		{"AWS is busy", 0, 400, "Throttling", true},
		{"AWS is ill", 0, 503, "ServiceUnavailable", true},
		{"AWS did not get through to GitHub", 0, 400, "IDPCommunicationError", true},
		{"refused", 0, 403, "AccessDenied", false},
		{"no such role", 0, 400, "ValidationError", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			t.Setenv("AWS_MAX_ATTEMPTS", "1")
			w.noToken = func(int) int { return tt.noToken }
			w.refuses = func(int) (int, string, string) { return tt.status, tt.code, "as AWS says" }
			_, err := w.Config(t.Context())
			var passing *PassingError
			if err == nil || errors.As(err, &passing) != tt.passes {
				t.Errorf("%v passes: %t", err, passing != nil)
			}
		})
	}
	w := newWorld(t)
	w.noToken = func(int) int { return 503 }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // or it is asked again for seconds
	defer cancel()
	var passing *PassingError
	if _, err := w.Token.get(ctx); !errors.As(err, &passing) {
		t.Errorf("no token: %v", err)
	}
}

func TestTheSubjectOfAToken(t *testing.T) {
	for _, token := range []string{"", "a.b", "a.!.c", "a." + base64.RawURLEncoding.EncodeToString([]byte("[]")) + ".c"} {
		if got := subject(token); got != "" {
			t.Errorf("subject of %q is %q", token, got)
		}
	}
}
