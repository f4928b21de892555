package e2e

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clothesme/deploy-action/e2e/aws"
	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// awsWorld is a world with moto in the place of AWS, on a host of its own, behind a bridge.
type awsWorld struct {
	*world.World
	aws    *lab.Host
	bridge *aws.Bridge
	env    map[string]string // of the step

	template string   // the id of the groups' launch template
	members  sync.Map // *lab.Host, by the ids of the instances that they are
}

func newAWSWorld(t *testing.T) *awsWorld {
	t.Helper()
	w := &awsWorld{World: world.New(t, lab.HostOptions{})}
	var err error
	if w.aws, err = world.Shared.Lab.Host(w.Ctx, lab.HostOptions{Release: lab.Trixie, With: "moto"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.aws.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	server, err := os.ReadFile("testdata/aws_server.py")
	if err == nil {
		err = w.aws.WriteFile(w.Ctx, "/opt/aws_server.py", 0o644, "root", string(server))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.onAWS(`systemd-run --quiet --unit moto python3 /opt/aws_server.py -H 0.0.0.0 -p 5000
timeout 60 bash -c 'until curl -sfo /dev/null http://127.0.0.1:5000/moto-api/; do sleep 0.2; done'`)
	if w.bridge, err = aws.Serve(w.Ctx, net.JoinHostPort(world.Shared.Lab.Gateway(), "0"),
		"http://"+w.aws.IP+":5000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.bridge.Close() })
	w.env = map[string]string{
		"AWS_ENDPOINT_URL": w.bridge.URL(), "AWS_REGION": "eu-central-1",
		"AWS_DEFAULT_REGION": "eu-central-1",
	}
	return w
}

func (w *awsWorld) onAWS(script string) string {
	w.T.Helper()
	out, err := w.aws.Exec(w.Ctx, script)
	if err != nil {
		w.T.Fatalf("%s: %v", script, err)
	}
	return out
}

// boto runs Python with a function client(service), as AWS's administrator.
func (w *awsWorld) boto(script string) string {
	w.T.Helper()
	return w.onAWS("python3 - <<'X'\n" + `import boto3, json
def client(name):
    return boto3.client(name, endpoint_url="http://127.0.0.1:5000", region_name="eu-central-1",
        aws_access_key_id="` + w.env["AWS_ACCESS_KEY_ID"] + `" or "admin", ` +
		`aws_secret_access_key="` + w.env["AWS_SECRET_ACCESS_KEY"] + `" or "admin")
` + script + "\nX")
}

// ofPage is the policy that docs/iam.md has for inputs, by their sections, without some actions.
func (w *awsWorld) ofPage(group, without string, inputs ...string) string {
	w.T.Helper()
	var all aws.Policy
	for _, input := range inputs {
		one := policyOf(w.T, "iam.md", input, without, "REGION", w.env["AWS_REGION"], "ACCOUNT", account,
			"sg-0123456789abcdef0", group, "lt-0123456789abcdef0", w.template)
		all.Version, all.Statement = one.Version, append(all.Statement, one.Statement...)
	}
	text, err := json.Marshal(all)
	if err != nil {
		w.T.Fatal(err)
	}
	return string(text)
}

// policyOf is the policy in a section of a page in docs, without some actions, and with other names in
// the place of the page's.
func policyOf(tb testing.TB, page, section, without string, names ...string) *aws.Policy {
	tb.Helper()
	text, err := os.ReadFile("../docs/" + page)
	if err != nil {
		tb.Fatal(err)
	}
	_, of, _ := strings.Cut(string(text), "\n## "+section+"\n")
	_, of, _ = strings.Cut(of, "\n```json\n")
	of, _, _ = strings.Cut(of, "\n```\n")
	policy, err := aws.ParsePolicy(strings.NewReplacer(names...).Replace(of))
	if err != nil {
		tb.Fatalf("docs/%s, %s: %v", page, section, err)
	}
	var left []aws.Statement
	for _, s := range policy.Statement {
		s.Action = slices.DeleteFunc(s.Action, func(action string) bool {
			return slices.Contains(strings.Fields(without), action)
		})
		if len(s.Action) > 0 {
			left = append(left, s)
		}
	}
	policy.Statement = left
	return policy
}

// account is moto's number of the account.
const account = "123456789012"

// judged has the bridge hold calls to a policy, and returns what is left of it for moto.
func (w *awsWorld) judged(policy string) string {
	w.T.Helper()
	parsed, err := aws.ParsePolicy(policy)
	if err != nil {
		w.T.Fatal(err)
	}
	w.bridge.Judge(parsed, account, map[string]string{"Role": "web"})
	actions, err := parsed.Actions()
	if err != nil {
		w.T.Fatal(err)
	}
	return actions
}

// role is what the credentials of the step may do; moto holds them to its actions from here on, and
// the bridge to resources and conditions.
func (w *awsWorld) role(policy string) {
	w.T.Helper()
	policy = w.judged(policy)
	w.onAWS("curl -fsS -X POST http://127.0.0.1:5000/moto-api/reset-auth -H 'Content-Type: text/plain' --data-raw 1000000")
	w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"] = "", ""
	var key struct{ ID, Secret string }
	out := w.boto(`iam = client("iam")
import time
name = "deploy-%d" % time.time_ns()
iam.create_user(UserName=name)
iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument='''` + policy + `''')
k = iam.create_access_key(UserName=name)["AccessKey"]
print(json.dumps({"ID": k["AccessKeyId"], "Secret": k["SecretAccessKey"]}))`)
	if err := json.Unmarshal([]byte(strings.TrimSpace(out)), &key); err != nil {
		w.T.Fatalf("%v in %q", err, out)
	}
	w.env["AWS_ACCESS_KEY_ID"], w.env["AWS_SECRET_ACCESS_KEY"] = key.ID, key.Secret
	w.onAWS("curl -fsS -X POST http://127.0.0.1:5000/moto-api/reset-auth -H 'Content-Type: text/plain' --data-raw 0")
}

// roleByToken is role for a job that has nothing but GitHub's tokens, of which tokenOf says whose they are.
func (w *awsWorld) roleByToken(policy string) {
	w.T.Helper()
	policy = w.judged(policy)
	w.onAWS("curl -fsS -X POST http://127.0.0.1:5000/moto-api/reset-auth -H 'Content-Type: text/plain' --data-raw 1000000")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		w.env[name] = ""
	}
	w.boto(`iam = client("iam")
iam.create_role(RoleName="deploy", AssumeRolePolicyDocument="{}")
iam.put_role_policy(RoleName="deploy", PolicyName="p", PolicyDocument='''` + policy + `''')`)
	w.onAWS(`systemd-run --quiet --unit github python3 -c '
import base64, http.server, json, urllib.parse
class Tokens(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        right = query.pop("api-version", "") == ["2.0"] and self.headers["Authorization"] == "Bearer of-the-job"
        self.send_response(200 if right else 401)
        self.end_headers()
        part = lambda it: base64.urlsafe_b64encode(json.dumps(it).encode()).decode().rstrip("=")
        claims = {"iss": "https://token.actions.githubusercontent.com", "aud": query.get("audience", [""])[0],
            "sub": open("/run/subject").read()}
        self.wfile.write(json.dumps({"value": ".".join([part({"alg": "RS256"}), part(claims), "c2ln"])}).encode())
http.server.HTTPServer(("0.0.0.0", 5001), Tokens).serve_forever()'
: >/run/subject
timeout 60 bash -c 'until curl -so /dev/null http://127.0.0.1:5001/; do sleep 0.2; done'`)
	w.env["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://" + w.aws.IP + ":5001/?api-version=2.0"
	w.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "of-the-job"
}

// tokenOf has the next run take the role by a token of this subject, where the trust policy lets it; moto
// answers that one call, which is not signed, and holds those after it to what the role may do.
func (w *awsWorld) tokenOf(subject string, trust *aws.Policy) {
	w.T.Helper()
	w.bridge.TrustedBy(trust, account)
	w.onAWS("printf %s '" + subject + `' >/run/subject
curl -fsS -X POST http://127.0.0.1:5000/moto-api/reset-auth -H 'Content-Type: text/plain' --data-raw 1`)
}

func (w *awsWorld) deploy(with map[string]string) *lab.Result {
	w.T.Helper()
	return w.again(w.Commit(nil), with)
}

func (w *awsWorld) again(sha string, with map[string]string) *lab.Result {
	w.T.Helper()
	job := w.Job(sha, with)
	job.Env = w.env
	return w.Run(job)
}

// allows is a policy.
func allows(actions ...string) string {
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", "Action": ["` +
		strings.Join(actions, `", "`) + `"]}]}`
}
