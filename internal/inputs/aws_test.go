package inputs

import (
	"strings"
	"testing"
)

func TestTheRoleToAssume(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/ci/deploy"
	for name, tt := range map[string]struct{ value, url, bearer, wrong string }{
		"a role":          {arn, "https://token.example.com/?api-version=2.0", "bearer-of-the-job", ""},
		"of China":        {strings.Replace(arn, "aws", "aws-cn", 1), "https://token.example.com/", "bearer-of-the-job", ""},
		"a name":          {"deploy", "https://token.example.com/", "bearer-of-the-job", `must be the ARN of a role`},
		"a user":          {strings.Replace(arn, "role", "user", 1), "https://t/", "bearer-of-the-job", `must be the ARN of a role`},
		"no permission":   {arn, "", "", "id-token: write"},
		"half of a token": {arn, "https://token.example.com/", "", "id-token: write"},
	} {
		t.Run(name, func(t *testing.T) {
			key, _ := newKey(t, "")
			env := runner(key)
			env["ACTIONS_ID_TOKEN_REQUEST_URL"], env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = tt.url, tt.bearer
			in, err := Parse(with(env, map[string]string{"role-to-assume": tt.value}))
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), `input "role-to-assume": `) || !strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("err = %v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil || in.Role != tt.value || in.Identity.URL != tt.url || in.Identity.Bearer.Reveal() != tt.bearer {
				t.Errorf("role %q by %+v, %v", in.Role, in.Identity, err)
			}
			if !strings.Contains(strings.Join(in.Secrets(), "\n"), tt.bearer) {
				t.Error("what opens the job's identity is not masked")
			}
		})
	}
}
