package aws

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// TrustedBy has a role given by the role's trust policy alone, which account's it is: moto gives it to whoever
// asks. Nobody looks at the signature of a token.
func (b *Bridge) TrustedBy(p *Policy, account string) {
	b.After("AssumeRoleWithWebIdentity", func(call *Call) {
		if p.trusts(call.Form.Get("WebIdentityToken"), account) {
			return
		}
		call.Status = http.StatusForbidden
		call.Answer = []byte(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>` +
			`<Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRoleWithWebIdentity</Message></Error>` +
			`</ErrorResponse>`)
	})
}

// trusts tells whether a statement lets the bearer of a token take the role: the provider that has
// issued the token is its principal, and the token's claims are what the conditions are about.
func (p *Policy) trusts(token, account string) bool {
	var claims struct{ Iss, Aud, Sub string }
	if parts := strings.Split(token, "."); len(parts) == 3 {
		text, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(text, &claims) // of another text nothing is read
	}
	issuer := strings.TrimPrefix(claims.Iss, "https://")
	provider := "arn:aws:iam::" + account + ":oidc-provider/" + issuer
	facts := map[string]string{issuer + ":aud": claims.Aud, issuer + ":sub": claims.Sub}
	return slices.ContainsFunc(p.Statement, func(s Statement) bool {
		return slices.Contains(s.Principal["Federated"], provider) &&
			slices.Contains(s.Action, "sts:AssumeRoleWithWebIdentity") && s.holds(facts)
	})
}
