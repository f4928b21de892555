package cloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Token is where GitHub gives a job the tokens that prove what workflow it is of, if that may ask
// for them:
// docs.github.com/actions/reference/security/oidc
type Token struct{ URL, Bearer string }

// audience is whom the token is for: AWS refuses any other.
const audience = "sts.amazonaws.com"

// What GitHub is asked for a token: so often, with pauses that double, when it fails by itself.
const (
	tokenTries      = 4
	firstTokenPause = 500 * time.Millisecond
	tokenTime       = 10 * time.Second
	maxToken        = 64 << 10
)

// get returns a new token.
func (t Token) get(ctx context.Context) (string, error) {
	for try, pause := 1, firstTokenPause; ; try, pause = try+1, 2*pause {
		token, again, err := t.ask(ctx)
		if again {
			err = &PassingError{err}
		}
		if err == nil || !again || try == tokenTries {
			return token, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return "", err
		}
	}
}

// ask asks once; again tells whether another try may get an answer.
func (t Token) ask(ctx context.Context) (token string, again bool, err error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return "", false, errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is no URL: the runner sets it; take it out of the " +
			"environment of the workflow")
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return "", false, fmt.Errorf("ask GitHub for a token: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+t.Bearer)
	response, err := (&http.Client{Timeout: tokenTime}).Do(request)
	if err != nil {
		return "", true, fmt.Errorf("GitHub can't be asked for the job's token: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	var said struct{ Value string }
	text, err := io.ReadAll(io.LimitReader(response.Body, maxToken))
	if response.StatusCode == http.StatusOK && err == nil && json.Unmarshal(text, &said) == nil && said.Value != "" {
		return said.Value, false, nil
	}
	again = response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests ||
		response.StatusCode == http.StatusOK
	return "", again, fmt.Errorf("GitHub gives the job no token (status %d): githubstatus.com tells whether Actions is "+
		"well; run this workflow again", response.StatusCode)
}

// subject is what a token says that it is about, "" where it can't be told. It is for people: who
// checks the token is AWS.
func subject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Subject string `json:"sub"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.Subject
}
