package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/e2e/world"
)

func TestVariablesFromAWS(t *testing.T) {
	w := newAWSWorld(t)
	w.boto(`ssm, secrets = client("ssm"), client("secretsmanager")
for n in range(12): # more than a page
    ssm.put_parameter(Name="/shop/production/PLAIN_%d" % n, Value="plain number %d" % n, Type="String")
ssm.put_parameter(Name="/shop/production/db/DATABASE_URL", Value="postgres://u:pass word's@db/$x", Type="SecureString")
ssm.put_parameter(Name="/shop/production/BOTH", Value="of the parameter", Type="String")
ssm.put_parameter(Name="/shop/production/LOG_LEVEL", Value="debug, says AWS", Type="String")
secrets.create_secret(Name="shop/production", 
    SecretString=json.dumps({"BOTH": "of the secret", "API_KEY": "first\nsecond", "N": 5}))
secrets.create_secret(Name="shop/SIGNING_KEY", SecretString="one text, as it is")`)
	// Of the secrets the page's policy names one; here there are three, of which one is not there.
	allSecrets := func(policy string) string {
		arn := `"arn:aws:secretsmanager:eu-central-1:` + account + `:secret:shop/`
		return strings.Replace(policy, arn+`production-??????"`, arn+`production-??????",`+arn+`SIGNING_KEY-??????",`+
			arn+`none-??????"`, 1)
	}
	needed := allSecrets(w.ofPage("", "", "env-from"))
	w.role(needed)
	with := map[string]string{
		"env-from": "ssm:/shop/production/\nsecretsmanager:shop/production\nsecretsmanager:shop/SIGNING_KEY",
		"env":      "LOG_LEVEL=info, says env",
	}
	sha := w.Commit(nil)
	first := w.again(sha, with)
	if first.ExitCode != 0 {
		t.Fatalf("deployment:\n%s", first.Log())
	}
	world.Says(t, first, "✓ env-from: ", "DATABASE_URL", "1 of them as the input env has them")
	environment := "/home/ubuntu/shop/slots/8080/.deploy-action/environment"
	got := w.Exec("stat -Lc '%a %U' " + environment +
		"; tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value shop@8080)/environ")
	for _, want := range []string{
		"600 ubuntu", "PLAIN_11=plain number 11", "DATABASE_URL=postgres://u:pass word's@db/$x", "BOTH=of the secret",
		"API_KEY=first\nsecond", "N=5", "SIGNING_KEY=one text, as it is", "LOG_LEVEL=info, says env",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("the application lacks %q; it has\n%s", want, got)
		}
	}
	for _, secret := range []string{"pass word", "of the secret", "one text"} {
		for line := range strings.Lines(first.Log()) {
			if strings.Contains(line, secret) && !strings.Contains(line, "::add-mask::") {
				t.Errorf("the log has %q in %q", secret, line)
			}
		}
		if strings.Contains(first.Summary, secret) {
			t.Errorf("the summary has %q", secret)
		}
	}
	if out := w.Exec("grep -rl 'AWS_\\|" + w.env["AWS_ACCESS_KEY_ID"] +
		"' /home/ubuntu/shop/releases /home/ubuntu/shop/slots /proc/[0-9]*/environ 2>/dev/null || :"); out != "" {
		t.Errorf("credentials are on the host: %s", out)
	}
	w.UnderLoad()

	unchanged := w.again(sha, with)
	if unchanged.Outputs["outcome"] != "unchanged" {
		t.Errorf("the same again: %v\n%s", unchanged.Outputs, unchanged.Log())
	}

	// The job has no key of AWS's, but a token by which the role is had, if its trust policy names the job. One
	// that was copied before subjects had ids does not.
	given := maps.Clone(w.env)
	w.roleByToken(needed)
	byToken := maps.Clone(w.env)
	trust := func() *aws.Policy {
		return policyOf(t, "aws-credentials.md", "With a role", "",
			"ACCOUNT", account, "OWNER_ID", "583231", "REPO_ID", "1296269",
			"OWNER", "clothesme", "REPO", "shop")
	}
	const withIDs = "repo:clothesme@583231/shop@1296269:environment:production"
	byRole := maps.Clone(with)
	byRole["role-to-assume"] = "arn:aws:iam::123456789012:role/deploy"
	copied := trust()
	subjects := copied.Statement[0].Condition["StringEquals"]
	subjects["token.actions.githubusercontent.com:sub"] = subjects["token.actions.githubusercontent.com:sub"][:1]
	w.tokenOf(withIDs, copied)
	world.Failed(t, w.again(sha, byRole), "failed",
		`its trust policy must allow this workflow, whose subject is "`+withIDs+`"`,
		"(AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity)", "site: unchanged; nothing was touched")
	w.tokenOf(withIDs, trust())
	unchanged = w.again(sha, byRole)
	if unchanged.Outputs["outcome"] != "unchanged" {
		t.Errorf("by a role: %v\n%s", unchanged.Outputs, unchanged.Log())
	}
	w.env["ACTIONS_ID_TOKEN_REQUEST_URL"] = ""
	world.Failed(t, w.again(sha, byRole), "failed", `input "role-to-assume": `, "id-token: write")
	w.env = given

	// What AWS refuses is said before anything is touched.
	const list = `cd /home/ubuntu/shop && find . -printf '%p %T@\n' | grep -v '/logs/\|pyc' | sort`
	before := w.Exec(list)
	for _, denied := range []struct{ name, policy, place, words string }{
		{
			"no parameters", allSecrets(w.ofPage("", "ssm:GetParametersByPath", "env-from")),
			"env-from: ssm:/shop/production/: ", "the role must be allowed ssm:GetParametersByPath on it",
		},
		{
			"no secrets", w.ofPage("", "secretsmanager:GetSecretValue", "env-from"),
			"env-from: secretsmanager:shop/production: ", "the role must be allowed secretsmanager:GetSecretValue on it",
		},
	} {
		w.role(denied.policy)
		world.Failed(t, w.deploy(with), "failed", denied.place, denied.words, "site: unchanged; nothing was touched",
			"put right what is named above")
	}
	w.role(needed)
	world.Failed(t, w.deploy(map[string]string{
		"env-from": "secretsmanager:shop/none, ssm:/shop/production/none/, secretsmanager:shop/other, ssm:/shop/",
	}), "failed", "secretsmanager:shop/none: there is no such secret",
		"ssm:/shop/production/none/: there is no parameter below that path in region eu-central-1",
		"secretsmanager:shop/other: the role must be allowed secretsmanager:GetSecretValue on it",
		"ssm:/shop/: the role must be allowed ssm:GetParametersByPath on it")
	secret := w.env["AWS_SECRET_ACCESS_KEY"]
	w.env["AWS_SECRET_ACCESS_KEY"] = strings.ToLower(secret)
	world.Failed(t, w.deploy(with), "failed", "env-from: ssm:/shop/production/: the credentials are refused",
		"site: unchanged")
	w.env["AWS_SECRET_ACCESS_KEY"] = secret
	if after := w.Exec(list); after != before {
		t.Errorf("the host was touched: before\n%s\nafter\n%s", before, after)
	}

	w.onAWS("curl -fsS -X POST http://127.0.0.1:5000/moto-api/reset-auth -H 'Content-Type: text/plain' --data-raw 1000000")
	w.boto(`client("secretsmanager").put_secret_value(SecretId="shop/SIGNING_KEY", SecretString="another text")`)
	w.env = byToken
	w.tokenOf("repo:clothesme/shop:environment:production", trust())
	second := w.again(sha, byRole)
	if second.ExitCode != 0 || second.Outputs["outcome"] != "deployed" {
		t.Errorf("another value: %v\n%s", second.Outputs, second.Log())
	}
	w.Exec(fmt.Sprintf("grep -q 'SIGNING_KEY=.another text' /home/ubuntu/shop/slots/%s/.deploy-action/environment",
		second.Outputs["active-port"]))
	back := w.Run(w.Job(sha, map[string]string{"operation": "rollback", "env-from": with["env-from"]}))
	if back.ExitCode != 0 || back.Outputs["outcome"] != "rolled-back" {
		t.Errorf("a rollback takes credentials: %v\n%s", back.Outputs, back.Log())
	}
}
