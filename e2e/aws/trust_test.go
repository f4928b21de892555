package aws

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The trust policy of docs/aws-credentials.md is for jobs of one repository in one environment.
func TestWhoTakesTheRole(t *testing.T) {
	page, err := os.ReadFile("../../docs/aws-credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "\n```json\n")
	text, _, _ = strings.Cut(text, "\n```\n")
	p, err := ParsePolicy(strings.NewReplacer("ACCOUNT", "123456789012", "OWNER_ID", "7", "REPO_ID", "8", "OWNER", "octo",
		"REPO", "shop").Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	const (
		github = "https://token.actions.githubusercontent.com"
		first  = "repo:octo/shop:environment:production"
	)
	for _, tt := range []struct {
		name, account, issuer, audience, subject string
		trusted                                  bool
	}{
		{"the first subject", "123456789012", github, "sts.amazonaws.com", first, true},
		{"with ids", "123456789012", github, "sts.amazonaws.com", "repo:octo@7/shop@8:environment:production", true},
		{"other ids", "123456789012", github, "sts.amazonaws.com", "repo:octo@7/shop@9:environment:production", false},
		{"a branch", "123456789012", github, "sts.amazonaws.com", "repo:octo/shop:ref:refs/heads/main", false},
		{"another repository", "123456789012", github, "sts.amazonaws.com", "repo:octo/shop2:environment:production", false},
		{"more than the subject", "123456789012", github, "sts.amazonaws.com", first + ":x", false},
		{"another case", "123456789012", github, "sts.amazonaws.com", "repo:Octo/shop:environment:production", false},
		{"for somebody else", "123456789012", github, "https://github.com/octo", first, false},
		{"of another provider", "123456789012", "https://gitlab.com", "sts.amazonaws.com", first, false},
		{"in another account", "210987654321", github, "sts.amazonaws.com", first, false},
		{"without claims", "123456789012", "", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			claims := fmt.Sprintf(`{"iss": %q, "aud": %q, "sub": %q}`, tt.issuer, tt.audience, tt.subject)
			token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
			if got := p.trusts(token, tt.account); got != tt.trusted {
				t.Errorf("trusted: %v", got)
			}
		})
	}
	if p.trusts("no token", "123456789012") {
		t.Error("it trusts what is no token")
	}
	if p.allows("sts:AssumeRoleWithWebIdentity", "arn:aws:iam::123456789012:role/deploy", nil) {
		t.Error("a trust policy allows its own role something")
	}
}
